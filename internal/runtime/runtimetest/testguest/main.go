// Command testguest is the guest of the runtimes' tests: it does on demand what
// a session must not be able to do to others.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/mountpoint"
	"github.com/agentbay/agentbay/internal/runtime/runtimetest"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == runtimetest.Die {
		fmt.Fprintln(os.Stderr, runtimetest.LastWords)
		os.Exit(3)
	}
	if len(os.Args) > 1 && os.Args[1] == runtimetest.Hang {
		select {}
	}
	if len(os.Args) > 1 && os.Args[1] == mountpoint.Command {
		os.Exit(mountpoint.Main(os.Args[2:], os.Stdout))
	}
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", guest.Port))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready")
	http.Serve(l, runtimetest.Handler(os.Exit))
}
