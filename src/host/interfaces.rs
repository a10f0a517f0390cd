//! The addresses of this machine.

use std::net::IpAddr;

use super::system_calls;

/// The addresses of all interfaces that are up, in the kernel's order.
pub fn interface_addresses() -> Vec<IpAddr> {
    system_calls::interface_addresses().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_among_them() {
        assert!(interface_addresses().iter().any(IpAddr::is_loopback));
    }
}
