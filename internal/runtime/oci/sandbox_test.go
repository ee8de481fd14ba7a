package oci

import (
	"os"
	"testing"

	"github.com/agentbay/agentbay"
)

// What gVisor remembers of a machine begins with the number of a file that was
// open then. Another machine's directory may have that number now.
func TestMountGoesToItsMachine(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		options := l.options()
		options.Slots = -1 // nothing else takes the number
		r, err := Open(options)
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		t.Cleanup(func() { l.finish(r) })
		for _, id := range []agentbay.SessionID{"b", "a"} {
			if err := r.Start(t.Context(), l.spec(id)); err != nil {
				t.Fatalf("Start %s: %v", id, err)
			}
		}
		for range 200 {
			f, err := os.Open(r.find("b").path(stateDir))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
		}
		l.mount(r, "a")
		if got := l.ask(r, "a", "/read?path=/data/m/f"); got != "layer" {
			t.Errorf("the machine reads %q", got)
		}
		if got := l.ask(r, "b", "/read?path=/data/m/f"); got == "layer" {
			t.Error("another machine was shown the mount")
		}
	})
}
