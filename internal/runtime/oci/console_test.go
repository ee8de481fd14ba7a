package oci

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// read lets a console read all of b.
func read(b []byte) *console {
	c := readConsole(io.NopCloser(bytes.NewReader(b)))
	<-c.ended
	return c
}

func (c *console) isReady() bool {
	select {
	case <-c.ready:
		return true
	default:
		return false
	}
}

func TestReadyIsALineOfItsOwn(t *testing.T) {
	for _, test := range []struct {
		output string
		ready  bool
	}{
		{"ready\n", true},
		{"starting\nready\nserving\n", true},
		{"ready", false},
		{"already\n", false},
		{"ready or not\n", false},
		{"", false},
		{strings.Repeat("x", readySize) + "\nready\n", false}, // too much before it
	} {
		if got := read([]byte(test.output)).isReady(); got != test.ready {
			t.Errorf("ready after %.40q: %v, want %v", test.output, got, test.ready)
		}
	}
}

func TestConsoleKeepsTheLast(t *testing.T) {
	c := read([]byte(strings.Repeat("first\n", 2000) + "last"))
	if got := c.String(); len(got) > tailSize || !strings.HasSuffix(got, "last") {
		t.Errorf("%d bytes are kept, ending in %q; want at most %d, ending in %q", len(got), got[len(got)-4:], tailSize, "last")
	}
}

// Whatever a guest writes, what is kept is bounded and fit to be shown.
func FuzzConsole(f *testing.F) {
	for _, s := range []string{"", "ready\n", "\n\n\n", "panic: \xff\xfe\n", strings.Repeat("ready", 5000), "a\nready\nb\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := read(b[:min(len(b), 20<<10)])
		got := c.String()
		if len(got) > 3*tailSize || strings.ToValidUTF8(got, "") != got {
			t.Errorf("%d bytes are kept: %.100q", len(got), got)
		}
	})
}

// Whatever is on the ledger after a crash, it is read without harm.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"place":{"slot":1,"link":"ab1","ifindex":7,"addr":"198.18.0.6"},"group":1073742849,"limits":{"Memory":1},"pid":1,"since":2}`))
	f.Add([]byte(`{`))
	f.Add([]byte(`{"place":{"addr":"x"},"pid":"1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := (record{}).write(dir); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir+"/"+recordFile, b)
		if _, err := readRecord(dir); err != nil {
			t.Errorf("readRecord of %q: %v", b, err)
		}
	})
}
