// Untested: .NET did not run where this was written.
//
// An Aspire app host (packages Aspire.Hosting.AppHost and Aspire.Hosting.Nats) whose NATS server is
// Midge. Build the image first: docker build -f tuning/Dockerfile -t midge .

var builder = DistributedApplication.CreateBuilder(args);

// Below the folder of the app host: a copy of tuning/seccomp.json.
var profile = Path.Combine(builder.AppHostDirectory, "seccomp.json");

var nats = builder.AddNats("nats")
    // Instead of docker.io/library/nats. The flags stay the same: --user and --pass from AddNats,
    // -js from WithJetStream, -sd and its mount point from WithDataVolume.
    .WithImage("midge")
    .WithImageTag("latest")
    .WithImageRegistry(null)
    .WithJetStream()
    .WithDataVolume()
    // The default profile of container engines forbids io_uring.
    .WithContainerRuntimeArgs("--security-opt", $"seccomp={profile}")
    .WithContainerRuntimeArgs("--ulimit", "nofile=1048576", "--ulimit", "memlock=-1");

builder.AddProject<Projects.Api>("api")
    .WithReference(nats)
    .WaitFor(nats);

builder.Build().Run();
