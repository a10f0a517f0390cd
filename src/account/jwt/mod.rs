//! JSON Web Tokens of operators, accounts and users: bytes and the time come in, claims come out.
//!
//! A token is `header.claims.signature`, each in base64 for URLs without padding; the signature
//! is Ed25519 over the text before the last dot, made with the key that `iss` names (version 2 of
//! NATS's tokens; version 1, which signed the claims only, is refused). Who may issue what is not
//! decided here but in [`super::trust`]: a token that decodes and whose signature fits says only
//! that its issuer has said so.
//!
//! Bounds: [`TOKEN_BYTES_MAX`] for a token, [`template::SUBJECTS_MAX`] subjects made of one
//! template. What a token claims takes no more memory than its text, but for JSON's keys.

mod account_claims;
mod activation;
mod claims;
mod issues;
mod permission;
mod reach;
mod template;
mod token;
mod user_claims;

pub use account_claims::{
    AccountBody, AccountToken, CalloutClaims, ExportClaim, ImportClaim, JetStreamTier,
    LatencyClaim, LimitClaims, MappingClaim, Scope, SigningKey, TraceClaim, TradeKind,
};
pub use activation::{ActivationBody, ActivationToken};
pub use claims::{Claims, OperatorBody, OperatorToken};
pub use permission::{PermissionClaims, ResponseClaim, SubjectClaims};
pub use reach::{is_open_at, reaches_from, TimeRange};
pub use template::{expand, TemplateError, TemplateNames, SUBJECTS_MAX};
pub use token::{
    claims_of, public_key_kind, sign, Body, JwtError, KeyKind, Token, TOKEN_BYTES_MAX,
};
pub use user_claims::{UserBody, UserRules, UserToken};
