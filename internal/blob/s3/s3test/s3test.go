// Package s3test starts a real S3 server for a test.
package s3test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/agentbay/agentbay/internal/blob/s3"
)

// Program is the environment variable that names the server's program, which
// scripts/s3server builds.
const Program = "AGENTBAY_TEST_S3SERVER"

// A Server is a running S3 server that has one empty bucket.
type Server struct {
	s3.Options

	cmd    *exec.Cmd
	out    *bytes.Buffer // of cmd; to be read once it has ended
	ended  chan struct{} // closed when it has
	dir    string
	addr   string
	secure bool
}

// Config says how a server is run. The zero Config is plain HTTP, on the
// disk of the host.
type Config struct {
	Cert, Key string // files, to speak TLS
	Disk      int64  // bytes of a disk of its own, which needs root; 0 means the host's
}

// Start starts a server on a free port of the loopback, with keys of its own,
// and stops it when the test ends. Without the program the test is skipped.
func Start(t testing.TB) *Server { return StartWith(t, Config{}) }

// StartWith is Start with a Config.
func StartWith(t testing.TB, c Config) *Server {
	t.Helper()
	program := os.Getenv(Program)
	if program == "" {
		t.Skipf("this needs a real S3 server: build one, and set %s=$(scripts/s3server)", Program)
	}
	if c.Disk > 0 && os.Geteuid() != 0 {
		t.Skip("a disk for an S3 server needs root")
	}
	s := &Server{dir: t.TempDir(), secure: c.Cert != ""}
	s.Options = s3.Options{Bucket: "agentbay", AccessKey: rand.Text(), SecretKey: rand.Text()}
	t.Cleanup(s.stop)
	for range 5 { // somebody else may take the port first
		if s.start(t, program, c) {
			s.makeBucket(t)
			return s
		}
	}
	t.Fatalf("the S3 server does not start: %s", s.out)
	return nil
}

// start reports whether the server has come up.
func (s *Server) start(t testing.TB, program string, c Config) bool {
	t.Helper()
	s.addr = freePort(t)
	s.Endpoint = "http://" + s.addr
	args := []string{"--port", s.addr, "--region", "us-east-1", "--quiet", "--keep-alive"}
	if s.secure {
		s.Endpoint = "https://" + s.addr
		args = append(args, "--cert", c.Cert, "--key", c.Key)
	}
	s.out, s.ended = new(bytes.Buffer), make(chan struct{})
	s.cmd = exec.Command(program, append(args, "posix", s.dir)...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.Disk > 0 {
		s.onDisk(c.Disk)
	}
	s.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+s.AccessKey, "ROOT_SECRET_ACCESS_KEY="+s.SecretKey)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.run(); err != nil {
		t.Fatalf("the S3 server cannot be run; build it anew with scripts/s3server: %v", err)
	}
	return s.ready()
}

// onDisk gives the server a disk, in a mount namespace of its own: that is gone
// when the server is.
func (s *Server) onDisk(size int64) {
	mount := fmt.Sprintf(`mount -t tmpfs -o size=%d agentbay-test "$0" && exec "$@"`, size)
	s.cmd.Path = "/bin/sh"
	s.cmd.Args = append([]string{"sh", "-c", mount, s.dir}, s.cmd.Args...)
	s.cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
}

// run starts the program on a thread that lives as long as it does, so that it
// is killed with the test, however that ends.
func (s *Server) run() error {
	started := make(chan error)
	cmd, ended := s.cmd, s.ended
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
			close(ended)
		}
	}()
	return <-started
}

// ready waits until the server answers, or has ended.
func (s *Server) ready() bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", s.addr); err == nil {
			c.Close()
			return true
		}
		select {
		case <-s.ended:
			return false
		case <-tick.C:
		}
	}
}

func (s *Server) makeBucket(t testing.TB) {
	t.Helper()
	err := s.Client(t).MakeBucket(context.Background(), s.Bucket, minio.MakeBucketOptions{})
	if err != nil {
		t.Fatalf("the bucket cannot be made: %v", err)
	}
}

// Client returns a client of the server, for what a store does not do.
func (s *Server) Client(t testing.TB) *minio.Client {
	t.Helper()
	c, err := minio.New(s.addr, &minio.Options{
		Creds:  credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""),
		Secure: s.secure,
		Region: "us-east-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Kill kills the server, as kill -9 does.
func (s *Server) Kill() { s.stop() }

func (s *Server) stop() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	s.cmd.Process.Kill()
	<-s.ended
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
