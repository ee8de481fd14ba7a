package oci

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
)

// A slot is a network for one machine: a namespace with lo up and eth0
// addressed, whose other end on the host is called ab<number>. The kernel lets
// only one server of the host make a link of that name, so the number, and with
// it the addresses, is taken host-wide without a file. Nothing but an open file
// holds the namespace until a machine runs in it: when the last holder goes,
// the kernel removes it with both ends of the link.
type slot struct {
	netns *os.File
	users *userNS // nil if the machine shares the host's
	disk  *disk   // nil if what the machine writes is kept elsewhere
	where place
}

// A place is what must be known of a slot to find its host end again.
type place struct {
	Slot    int        `json:"slot"`
	Link    string     `json:"link"`
	IfIndex int        `json:"ifindex"` // never reused while the host is up, unlike the name
	Addr    netip.Addr `json:"addr"`    // the machine's
}

// A pool keeps slots ready and makes new ones in the background.
type pool struct {
	subnet netip.Prefix
	extra  func(*slot) error // gives a new slot what else its machine will need
	group  uint32            // of new links: what they may reach until told otherwise
	log    *slog.Logger
	ready  chan *slot
	stop   chan struct{}
	done   sync.WaitGroup

	mu   sync.Mutex
	next int // guarded by mu; where to look for a free number
}

// checkSubnet refuses a subnet that slots cannot be taken from.
func checkSubnet(subnet netip.Prefix) error {
	if !subnet.Addr().Is4() || subnet.Bits() > 29 {
		return agentbay.Errorf(agentbay.Invalid, "the sessions' subnet %s must be IPv4 and hold several sessions; use a /16", subnet)
	}
	return nil
}

// openPool starts to keep n slots ready; n < 0 means to make each when asked.
func openPool(subnet netip.Prefix, n int, group uint32, extra func(*slot) error, log *slog.Logger) *pool {
	p := &pool{subnet: subnet.Masked(), group: group, extra: extra, log: log, ready: make(chan *slot, max(n, 0)), stop: make(chan struct{})}
	p.next = os.Getpid() % p.size()
	if n > 0 {
		p.done.Go(p.fill)
	}
	return p
}

// size is how many slots the subnet has room for, four addresses each.
func (p *pool) size() int { return 1 << (30 - p.subnet.Bits()) }

func (p *pool) fill() {
	for {
		s, err := p.make()
		if err != nil {
			p.log.Warn("no network slot could be made ready; trying again", "error", err)
			if !p.rest() {
				return
			}
			continue
		}
		select {
		case p.ready <- s:
		case <-p.stop:
			s.release()
			return
		}
	}
}

// rest waits before the next attempt, and reports whether there is to be one.
func (p *pool) rest() bool {
	select {
	case <-time.After(time.Second):
		return true
	case <-p.stop:
		return false
	}
}

// take returns a slot, a ready one if there is any.
func (p *pool) take(ctx context.Context) (*slot, error) {
	select {
	case s := <-p.ready:
		return s, nil
	default:
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return p.make()
}

func (p *pool) close() error {
	close(p.stop)
	p.done.Wait()
	close(p.ready)
	var errs []error
	for s := range p.ready {
		errs = append(errs, s.release())
	}
	return errors.Join(errs...)
}

// make makes a slot of the next free number.
func (p *pool) make() (*slot, error) {
	ns, err := newNetNS()
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	for range p.size() {
		s := &slot{netns: ns, where: p.place(p.number())}
		err = s.link(p.group)
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err == nil {
			err = s.configure(p.gateway(s.where.Slot))
		}
		if err == nil && p.extra != nil {
			err = p.extra(s)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("network slot %d: %w", s.where.Slot, err), s.release())
		}
		return s, nil
	}
	ns.Close()
	return nil, agentbay.Errorf(agentbay.Exhausted, "every network slot of %s is taken; delete sessions, or configure a larger subnet", p.subnet)
}

// number returns the next number to try.
func (p *pool) number() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.next
	p.next = (p.next + 1) % p.size()
	return n
}

func (p *pool) place(n int) place {
	return place{Slot: n, Link: fmt.Sprintf("ab%d", n), Addr: p.gateway(n).Next()}
}

// gateway is the host's address in slot n: the first of its four that can be used.
func (p *pool) gateway(n int) netip.Addr {
	b := p.subnet.Addr().As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += uint32(n)*4 + 1
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// newNetNS makes a network namespace that lives as long as the file is open or
// somebody runs in it.
func newNetNS() (f *os.File, err error) {
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		quietNetNS()
		f, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return f, err
}

// quietNetNS sets what a session expects of a network of its own: no IPv6, and
// ping and low ports for everybody. A kernel without one of these is fine.
func quietNetNS() {
	for name, value := range map[string]string{
		"ipv6/conf/all/disable_ipv6":      "1",
		"ipv6/conf/default/disable_ipv6":  "1",
		"ipv4/ip_unprivileged_port_start": "0",
		"ipv4/ping_group_range":           "0 2147483647",
	} {
		_ = os.WriteFile("/proc/sys/net/"+name, []byte(value), 0)
	}
}

// link makes both ends. EEXIST: the number is taken.
func (s *slot) link(group uint32) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Group = s.where.Link, group
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(s.netns.Fd()))}
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	link, err := netlink.LinkByName(s.where.Link)
	if err != nil {
		return err
	}
	s.where.IfIndex = link.Attrs().Index
	return nil
}

// configure gives both ends their addresses and brings them up.
func (s *slot) configure(gateway netip.Addr) error {
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+s.where.Link+"/disable_ipv6", []byte("1"), 0)
	host, err := netlink.NewHandle()
	if err != nil {
		return err
	}
	defer host.Close()
	inside, err := netlink.NewHandleAt(netns.NsHandle(s.netns.Fd()))
	if err != nil {
		return err
	}
	defer inside.Close()
	if err := up(host, s.where.Link, gateway); err != nil {
		return err
	}
	if err := up(inside, "lo", netip.Addr{}); err != nil {
		return err
	}
	if err := up(inside, "eth0", s.where.Addr); err != nil {
		return err
	}
	return inside.RouteAdd(&netlink.Route{Gw: net.IP(gateway.AsSlice())})
}

// up brings a link up, with an address of its slot's four if addr is valid.
func up(h *netlink.Handle, name string, addr netip.Addr) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if addr.IsValid() {
		ip := &net.IPNet{IP: net.IP(addr.AsSlice()), Mask: net.CIDRMask(30, 32)}
		if err := h.AddrAdd(link, &netlink.Addr{IPNet: ip}); err != nil {
			return fmt.Errorf("address of %s: %w", name, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	return nil
}

// setGroup puts the host end among those that may reach the same.
func (s *slot) setGroup(group uint32) error {
	return netlink.LinkSetGroup(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: s.where.IfIndex}}, int(group))
}

// let closes what kept the slot, without removing what a machine holds by now.
func (s *slot) let() {
	s.netns.Close()
	if s.users != nil {
		s.users.file.Close()
	}
	if s.disk != nil {
		unix.Close(s.disk.mount)
	}
}

// release gives the slot back.
func (s *slot) release() error {
	s.let()
	if s.disk != nil {
		os.Remove(s.disk.path)
	}
	return s.where.remove()
}

// remove removes the host end, and with it the other, if it is still the one
// that was made. The kernel would too, but later.
func (p place) remove() error {
	if p.IfIndex == 0 {
		return nil
	}
	link, err := netlink.LinkByIndex(p.IfIndex)
	if gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for %s: %w", p.Link, err)
	}
	if link.Attrs().Name != p.Link {
		return nil
	}
	if err := netlink.LinkDel(link); err != nil && !gone(err) {
		return fmt.Errorf("remove %s: %w", p.Link, err)
	}
	return nil
}

// gone reports whether a link was not found.
func gone(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing) || errors.Is(err, syscall.ENODEV)
}
