package runtimetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Arguments that make the test guest fail to boot.
const (
	Die  = "die"  // ends at once, after saying LastWords
	Hang = "hang" // never gets ready
)

// LastWords are said by a guest that was told to Die.
const LastWords = "no disk in drive A"

// Info is what the test guest knows of itself.
type Info struct {
	UID, GID int
	Dir      string
	Env      []string
	Hostname string
	Resolv   string
	CapEff   string
	Secret   string // what was on standard input
	MemTotal int64
}

// Handler is the test guest: /info tells where it is, and every other path makes
// it do something a session might, then answers what came of it. Exit must end
// the guest.
func Handler(exit func(status int)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/info", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(info()) })
	mux.HandleFunc("/exit", func(_ http.ResponseWriter, r *http.Request) { exit(number(r, "status")) })
	mux.HandleFunc("/dial", func(w http.ResponseWriter, r *http.Request) {
		answer(w, dial(r.FormValue("network"), r.FormValue("addr")))
	})
	mux.HandleFunc("/eat", func(w http.ResponseWriter, r *http.Request) { answer(w, eat(number(r, "mib"))) })
	mux.HandleFunc("/fill", func(w http.ResponseWriter, r *http.Request) { answer(w, fill(r.FormValue("path"), number(r, "mib"))) })
	mux.HandleFunc("/fork", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, fork(number(r, "most"))) })
	mux.HandleFunc("/spin", func(w http.ResponseWriter, r *http.Request) { spin(number(r, "threads")) })
	mux.HandleFunc("/say", func(w http.ResponseWriter, r *http.Request) { answer(w, say(number(r, "mib"))) })
	mux.HandleFunc("/run", func(w http.ResponseWriter, r *http.Request) { answer(w, run(w, strings.Fields(r.FormValue("line")))) })
	mux.HandleFunc("/syscall", func(w http.ResponseWriter, r *http.Request) { answer(w, syscallOf(r.FormValue("name"))) })
	mux.HandleFunc("/write", func(w http.ResponseWriter, r *http.Request) {
		answer(w, os.WriteFile(r.FormValue("path"), []byte(r.FormValue("text")), 0o644))
	})
	mux.HandleFunc("/mkdir", func(w http.ResponseWriter, r *http.Request) { answer(w, os.MkdirAll(r.FormValue("path"), 0o755)) })
	mux.HandleFunc("/remove", func(w http.ResponseWriter, r *http.Request) { answer(w, os.RemoveAll(r.FormValue("path"))) })
	mux.HandleFunc("/link", func(w http.ResponseWriter, r *http.Request) {
		answer(w, os.Symlink(r.FormValue("to"), r.FormValue("path")))
	})
	mux.HandleFunc("/rename", func(w http.ResponseWriter, r *http.Request) {
		answer(w, os.Rename(r.FormValue("path"), r.FormValue("to")))
	})
	mux.HandleFunc("/owner", func(w http.ResponseWriter, r *http.Request) { answer(w, owner(w, r.FormValue("path"))) })
	mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		b, err := os.ReadFile(r.FormValue("path"))
		w.Write(b)
		answer(w, err)
	})
	return mux
}

func number(r *http.Request, name string) int {
	n, _ := strconv.Atoi(r.FormValue(name))
	return n
}

// answer says nothing if all went well.
func answer(w io.Writer, err error) {
	if err != nil {
		fmt.Fprint(w, err)
	}
}

func info() Info {
	i := Info{UID: os.Getuid(), GID: os.Getgid(), Env: os.Environ(), Secret: secret()}
	i.Dir, _ = os.Getwd()
	i.Hostname, _ = os.Hostname()
	b, _ := os.ReadFile("/etc/resolv.conf")
	i.Resolv = string(b)
	b, _ = os.ReadFile("/proc/self/status")
	i.CapEff = after(string(b), "CapEff:")
	b, _ = os.ReadFile("/proc/meminfo")
	kib, _ := strconv.ParseInt(strings.TrimSuffix(after(string(b), "MemTotal:"), " kB"), 10, 64)
	i.MemTotal = kib << 10
	return i
}

// secret is what the guest was given on standard input.
var secret = sync.OnceValue(func() string {
	b, _ := io.ReadAll(io.LimitReader(os.Stdin, 4<<10))
	return string(b)
})

// after returns the rest of the line that begins with key.
func after(text, key string) string {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// dial reports whether somebody answers at an address. Over UDP something must
// come back.
func dial(network, addr string) error {
	c, err := net.DialTimeout(network, addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if network != "udp" {
		return nil
	}
	c.SetDeadline(time.Now().Add(time.Second))
	c.Write([]byte("?"))
	_, err = c.Read(make([]byte, 1))
	return err
}

// eaten keeps what eat took.
var eaten [][]byte

func eat(mib int) error {
	for range mib {
		eaten = append(eaten, bytes.Repeat([]byte{1}, 1<<20))
	}
	return nil
}

func fill(path string, mib int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	block := bytes.Repeat([]byte{1}, 1<<20)
	for range mib {
		if _, err := f.Write(block); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// fork starts up to most copies of the guest that wait for ever, and returns
// how many it could start.
func fork(most int) (n int) {
	self, _ := os.Executable()
	for n < most && exec.Command(self, Hang).Start() == nil {
		n++
	}
	return n
}

func spin(threads int) {
	for range threads {
		go func() {
			for {
			}
		}()
	}
}

func say(mib int) error {
	line := append(bytes.Repeat([]byte("la "), 341), '\n')
	for range mib << 10 {
		if _, err := os.Stdout.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// owner says whose a path is, and its mode.
func owner(w io.Writer, path string) error {
	var st syscall.Stat_t
	err := syscall.Lstat(path, &st)
	if err == nil {
		fmt.Fprintf(w, "%d:%d %o", st.Uid, st.Gid, st.Mode&0o7777)
	}
	return err
}

func run(w io.Writer, line []string) error {
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdout, cmd.Stderr = w, w
	return cmd.Run()
}
