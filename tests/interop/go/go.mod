module sundbro.example/tlogcheck

go 1.24.0

// The newest release that Go 1.24 builds, and the one that Tessera's fsck uses.
require golang.org/x/mod v0.33.0
