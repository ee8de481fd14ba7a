package oci

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

// Addresses outside: a public one, a private one, and the metadata service's. The
// public ones are few and for documentation, so that nothing else of the host is cut off.
const (
	publicAddr, privateAddr, metadataAddr = "198.51.100.10", "10.99.99.10", "169.254.169.254"
	hostAddr                              = "198.51.100.9" // the host's own, towards them
)

// A machine reaches what its policy says and nothing else.
func TestMachineReachesOnlyWhatItMay(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		outside(t)
		r := l.open()
		t.Cleanup(func() { l.finish(r) })
		online := runtime.Network{Internet: true}
		allowed := runtime.Network{Internet: true, Allow: []netip.Prefix{netip.MustParsePrefix("10.99.0.0/16"), netip.MustParsePrefix("169.254.0.0/16")}}
		named := runtime.Network{DNS: []netip.Addr{netip.MustParseAddr(privateAddr)}}
		for id, n := range map[string]runtime.Network{"online": online, "allowed": allowed, "named": named, "alone": {}} {
			spec := l.spec(agentbay.SessionID(id))
			spec.Network = n
			if err := r.Start(t.Context(), spec); err != nil {
				t.Fatalf("Start %s: %v", id, err)
			}
		}
		gateway := r.slots.gateway(r.find("online").rec.Place.Slot).String()
		other := r.find("alone").rec.Place.Addr.String()
		listen(t, "0.0.0.0:4780") // a service of the host
		for _, c := range []struct {
			from, to string
			port     int
			reaches  bool
		}{
			{"online", publicAddr, 80, true},
			{"online", privateAddr, 80, false},
			{"online", privateAddr, 53, false},
			{"online", metadataAddr, 80, false},
			{"online", gateway, 4780, false},
			{"online", hostAddr, 4780, false},
			{"online", other, 47600, false},
			{"allowed", privateAddr, 80, true},
			{"allowed", publicAddr, 80, true},
			{"allowed", metadataAddr, 80, false},
			{"named", privateAddr, 53, true},
			{"named", privateAddr, 80, false},
			{"named", publicAddr, 80, false},
			{"alone", publicAddr, 80, false},
			{"alone", gateway, 4780, false},
		} {
			answer := l.ask(r, agentbay.SessionID(c.from), "/dial?network=tcp&addr=%s:%d", c.to, c.port)
			if reached := answer == ""; reached != c.reaches {
				t.Errorf("from %q to %s:%d: %q, want reached: %v", c.from, c.to, c.port, answer, c.reaches)
			}
		}
	})
}

// What is outside cannot open connections to a machine.
func TestMachineIsNotReachedFromOutside(t *testing.T) {
	l := newLab(t, RunC)
	ns := outside(t)
	r := l.start("a")
	addr := r.find("a").rec.Place.Addr.String()
	err := onThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		// No name to look up and no second address: the thread itself connects.
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		timeout := unix.Timeval{Sec: 1}
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout); err != nil {
			return err
		}
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: 47600, Addr: netip.MustParseAddr(addr).As4()})
		if err == nil {
			return fmt.Errorf("connected to the machine at %s", addr)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// The machine's own files say where it is.
func TestMachineKnowsItsNames(t *testing.T) {
	each(t, func(t *testing.T, l *lab) {
		r := l.open()
		t.Cleanup(func() { l.finish(r) })
		spec := l.spec("session-1")
		spec.Network.DNS = []netip.Addr{netip.MustParseAddr("192.0.2.53")}
		if err := r.Start(t.Context(), spec); err != nil {
			t.Fatalf("Start: %v", err)
		}
		for path, want := range map[string]string{
			"/etc/resolv.conf": "nameserver 192.0.2.53\n",
			"/etc/hostname":    "session-1\n",
			"/etc/hosts":       fmt.Sprintf("127.0.0.1 localhost\n%s session-1\n", r.find("session-1").rec.Place.Addr),
		} {
			if got := l.ask(r, "session-1", "/read?path=%s", path); got != want {
				t.Errorf("%s is %q, want %q", path, got, want)
			}
		}
	})
}

// Servers on one host never share a slot.
func TestSlotsAreSharedOutHostWide(t *testing.T) {
	l := newLab(t, RunC)
	r := l.start()
	pools := []*pool{r.slots}
	for range 2 {
		p := openPool(r.opt.Subnet, -1, r.wall.group, nil, r.opt.Log)
		defer p.close()
		p.next = r.slots.next // look for the same numbers
		pools = append(pools, p)
	}
	seen := map[netip.Addr]bool{}
	for i := range 9 {
		s, err := pools[i%3].take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer s.release()
		if seen[s.where.Addr] {
			t.Errorf("two slots have the address %s", s.where.Addr)
		}
		seen[s.where.Addr] = true
	}
}

// outside makes a network beyond the host with services at the addresses above.
func outside(t *testing.T) *os.File {
	t.Helper()
	ns, err := newNetNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	attrs := netlink.NewLinkAttrs()
	attrs.Name = fmt.Sprintf("out%d", os.Getpid()%100000)
	link := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(ns.Fd()))}
	if err := netlink.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(link) })
	host, err := netlink.NewHandle()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	there, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(there.Close)
	bringUp(t, host, attrs.Name, hostAddr+"/30")
	bringUp(t, there, "lo")
	bringUp(t, there, "eth0", publicAddr+"/30", privateAddr+"/32", metadataAddr+"/32")
	route(t, host, attrs.Name, privateAddr+"/32", nil)
	route(t, host, attrs.Name, metadataAddr+"/32", nil)
	route(t, there, "eth0", "198.18.0.0/15", net.ParseIP(hostAddr)) // so that the way in is there to be barred
	for _, port := range []int{53, 80} {
		listenIn(t, ns, port)
	}
	return ns
}

func bringUp(t *testing.T, h *netlink.Handle, name string, addrs ...string) {
	t.Helper()
	link, err := h.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.AddrAdd(link, addr); err != nil {
			t.Fatalf("address %s of %s: %v", a, name, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
}

func route(t *testing.T, h *netlink.Handle, name, to string, via net.IP) {
	t.Helper()
	link, err := h.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	_, dst, err := net.ParseCIDR(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Gw: via}); err != nil {
		t.Fatalf("route to %s: %v", to, err)
	}
}

// listenIn takes connections on a port of every address of a network namespace.
func listenIn(t *testing.T, ns *os.File, port int) {
	t.Helper()
	err := onThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		listen(t, fmt.Sprintf("0.0.0.0:%d", port))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func listen(t *testing.T, addr string) {
	t.Helper()
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
}
