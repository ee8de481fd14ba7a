package bench

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A network is a way to this machine from another place.
type network struct {
	name  string
	delay time.Duration // of each packet, in each direction
	loss  float64       // of packets, in each direction
}

var networks = []network{
	{name: "loopback"},
	{name: "40ms-1pct", delay: 20 * time.Millisecond, loss: 0.01},
}

// String names the network and, where it matters, how TCP finds its pace there.
func (n network) String() string {
	if n.delay == 0 && n.loss == 0 {
		return n.name
	}
	return n.name + "-" + congestionControl()
}

// congestionControl is that of a new TCP socket of this machine, such as those of a bay.
func congestionControl() string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "unknown"
	}
	defer unix.Close(fd)
	name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	if err != nil {
		return "unknown"
	}
	return name
}

// dial connects to a port of this machine, from where the network says.
type dial func(ctx context.Context, port int) (net.Conn, error)

// open makes the network. Loopback needs none; another is a network namespace, tied
// to this one by two TUN devices and a program that delays and drops packets: what
// netem does, without a module of the kernel. The TCP on both sides is the kernel's.
// Namespace and devices last as long as they are used, whatever becomes of the test.
func (n network) open(b *testing.B) dial {
	b.Helper()
	if n.delay == 0 && n.loss == 0 {
		return func(ctx context.Context, port int) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		}
	}
	near, err := tun("abbench0", "10.231.7.1/30")
	if err != nil {
		b.Skipf("lacks TUN devices: %v", err)
	}
	b.Cleanup(func() { near.Close() })
	far, dials := elsewhere(b, "10.231.7.2/30")
	go n.carry(near, far)
	go n.carry(far, near)
	return func(ctx context.Context, port int) (net.Conn, error) {
		return dials(ctx, forward(b, "10.231.7.1", port))
	}
}

// tun makes a TUN device with an address, in the network namespace of this thread.
func tun(name, address string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	for _, args := range [][]string{{"addr", "add", address, "dev", name}, {"link", "set", name, "up", "mtu", "1500"}} {
		if err == nil {
			err = exec.Command("ip", args...).Run()
		}
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil // not before it is a device, or it cannot be waited for
}

// elsewhere is a network namespace with one TUN device, and a way to dial in it.
func elsewhere(b *testing.B, address string) (device *os.File, dials func(context.Context, string) (net.Conn, error)) {
	b.Helper()
	type ask struct {
		ctx     context.Context
		address string
		answer  chan<- net.Conn
		failed  chan<- error
	}
	asks, made := make(chan ask), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			device, err = tun("abbench1", address)
		}
		made <- err
		for a := range asks {
			c, err := new(net.Dialer).DialContext(a.ctx, "tcp", a.address)
			if err != nil {
				a.failed <- err
				continue
			}
			a.answer <- c
		}
	}()
	if err := <-made; err != nil {
		b.Skipf("lacks network namespaces or TUN devices: %v", err)
	}
	b.Cleanup(func() { close(asks); device.Close() })
	return device, func(ctx context.Context, address string) (net.Conn, error) {
		answer, failed := make(chan net.Conn, 1), make(chan error, 1)
		asks <- ask{ctx, address, answer, failed}
		select {
		case c := <-answer:
			return c, nil
		case err := <-failed:
			return nil, err
		}
	}
}

// A packet is one on its way.
type packet struct {
	due   time.Time
	bytes []byte
}

// carry takes packets from one device to another, late and not all of them.
func (n network) carry(from, to *os.File) {
	way := make(chan packet, 10_000) // more than that is dropped, as by a router
	go func() {
		for p := range way {
			time.Sleep(time.Until(p.due))
			to.Write(p.bytes)
		}
	}()
	defer close(way)
	for {
		buf := make([]byte, 2048)
		size, err := from.Read(buf)
		if err != nil {
			return // it was closed
		}
		if rand.Float64() < n.loss {
			continue
		}
		select {
		case way <- packet{time.Now().Add(n.delay), buf[:size]}:
		default:
		}
	}
}

// forward listens at an address, and joins who connects to a port of the loopback.
func forward(b *testing.B, host string, port int) (address string) {
	b.Helper()
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			inside, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				outside.Close()
				continue
			}
			go func() { io.Copy(inside, outside); inside.Close() }()
			go func() { io.Copy(outside, inside); outside.Close() }()
		}
	}()
	return l.Addr().String()
}
