// Command runsc is gVisor's OCI runtime, built from the module version pinned
// in go.mod, so that a bay runs the sandbox it was tested with.
package main

import "gvisor.dev/gvisor/runsc/cli/maincli"

func main() { maincli.Main() }
