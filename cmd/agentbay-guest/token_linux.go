package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay/internal/guest"
)

// brokenPipe are the signals of writing to what nobody reads.
var brokenPipe = []os.Signal{unix.SIGPIPE}

// maxToken bounds the secret; it fits in a pipe at once.
const maxToken = 4 << 10

// takeToken returns the secret. What a process was started with can be read in
// /proc by its user, so a secret from the environment is put in a pipe and the
// program starts itself anew without it.
func takeToken(fd int) (string, error) {
	if token := os.Getenv(guest.TokenEnv); token != "" {
		return "", startAnew(token)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil { // nobody reads our memory or descriptors
		return "", err
	}
	pipe := os.NewFile(uintptr(fd), "token")
	defer pipe.Close()
	token, err := io.ReadAll(io.LimitReader(pipe, maxToken))
	if err == nil && len(token) == 0 {
		err = fmt.Errorf("no secret: write it to file descriptor %d and close that, or set %s", fd, guest.TokenEnv)
	}
	return string(token), err
}

// startAnew replaces the program by itself with the secret in a pipe. It only
// returns if it fails.
func startAnew(token string) error {
	if len(token) > maxToken {
		return fmt.Errorf("%s is longer than %d bytes", guest.TokenEnv, maxToken)
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	r, err := filled(token)
	if err != nil {
		return err
	}
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, guest.TokenEnv+"=") })
	args := append(slices.Clone(os.Args), "-token-fd", strconv.Itoa(r))
	return syscall.Exec(program, args, env)
}

// filled is the reading end of a pipe with text in it, which survives exec.
func filled(text string) (int, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], 0); err != nil {
		return 0, err
	}
	defer unix.Close(p[1])
	_, err := unix.Write(p[1], []byte(text))
	return p[0], err
}
