package oci

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

// A firewall is one nftables table that keeps the sessions of one Runtime from
// all they may not reach. A session is told from others by the group of its
// host link: the upper bits say whose it is, the lower which policy it has. So a
// session needs no rule of its own, and leaves none behind: its group goes with
// its link. A link whose policy is not there reaches nothing.
type firewall struct {
	subnet netip.Prefix
	table  *nftables.Table
	group  uint32 // of links without a policy: they reach nothing

	mu       sync.Mutex
	policies map[uint32]runtime.Network // guarded by mu; by group
}

// policyBits of a group number say which policy, the others whose session.
const policyBits = 10

// private is what a session reaches only when it is allowed: everything that is
// not the public Internet.
var private = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.0.0.0/24",
	"192.168.0.0/16", "198.18.0.0/15", "240.0.0.0/4")

// never is what no session reaches, whatever is allowed.
var never = prefixes("127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32")

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// openFirewall puts the table in place, with the policies of the machines that
// are there already. One left by a crash is replaced at one stroke.
func openFirewall(stateDir string, subnet netip.Prefix, policies map[uint32]runtime.Network) (*firewall, error) {
	group := groupOf(stateDir)
	w := &firewall{
		subnet:   subnet.Masked(),
		table:    &nftables.Table{Family: nftables.TableFamilyINet, Name: fmt.Sprintf("agentbay_%x", group>>policyBits)},
		group:    group,
		policies: policies,
	}
	if err := w.apply(); err != nil {
		return nil, agentbay.Wrap(err, agentbay.Unavailable, "cannot make the firewall of the sessions; the kernel needs nf_tables with conntrack, fib and masquerade")
	}
	return w, nil
}

// groupOf gives each state directory a range of groups of its own. The top bit
// is set to stay clear of those that people number by hand.
func groupOf(stateDir string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(stateDir))
	return (h.Sum32()&0x3fffffff | 0x40000000) >> policyBits << policyBits
}

// admit returns the group of links with that policy.
func (w *firewall) admit(n runtime.Network) (uint32, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	want := canonical(n)
	for group, have := range w.policies {
		if canonical(have) == want {
			return group, nil
		}
	}
	group := w.group + 1
	for _, taken := w.policies[group]; taken; _, taken = w.policies[group] {
		group++
	}
	if group>>policyBits != w.group>>policyBits {
		return 0, agentbay.Errorf(agentbay.Exhausted, "sessions with %d different network policies are too many; use fewer, or restart the server without sessions", len(w.policies))
	}
	w.policies[group] = n
	if err := w.apply(); err != nil {
		delete(w.policies, group)
		return 0, err
	}
	return group, nil
}

// canonical is equal for equal policies.
func canonical(n runtime.Network) string {
	n.Allow, n.DNS = slices.Concat([]netip.Prefix{}, n.Allow), slices.Concat([]netip.Addr{}, n.DNS)
	b, _ := json.Marshal(n)
	return string(b)
}

// apply replaces the whole table, in one transaction.
func (w *firewall) apply() error {
	if err := w.forward(); err != nil {
		return err
	}
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.AddTable(w.table) // so that there is one to delete
	c.DelTable(w.table)
	c.AddTable(w.table)
	w.spoofing(c)
	w.input(c)
	w.forwarding(c, w.policyChains(c))
	w.masquerade(c)
	return c.Flush()
}

// remove removes the table.
func (w *firewall) remove() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.AddTable(w.table)
	c.DelTable(w.table)
	return c.Flush()
}

// forward lets the host forward packets, if any policy needs it. It stays so:
// others may have come to rely on it. What it lets through to sessions is
// nothing but answers.
func (w *firewall) forward() error {
	const name = "/proc/sys/net/ipv4/ip_forward"
	for _, n := range w.policies {
		if !n.Internet && len(n.Allow) == 0 && len(n.DNS) == 0 {
			continue
		}
		if b, _ := os.ReadFile(name); strings.TrimSpace(string(b)) == "1" {
			return nil
		}
		return os.WriteFile(name, []byte("1"), 0)
	}
	return nil
}

// spoofing drops what a session sends in another's name, and all its IPv6.
func (w *firewall) spoofing(c *nftables.Conn) {
	chain := w.hook(c, "spoofing", nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	w.rule(c, chain, w.from(), []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		equal(unix.NFPROTO_IPV6), drop(),
	})
	w.rule(c, chain, w.from(), []expr.Any{
		&expr.Fib{Register: 1, ResultOIF: true, FlagSADDR: true, FlagIIF: true},
		equal(0, 0, 0, 0), drop(),
	})
}

// input keeps sessions from the host: it hears answers only, and questions to
// those of its addresses that are a session's name server.
func (w *firewall) input(c *nftables.Conn) {
	chain := w.hook(c, "input", nftables.ChainHookInput, nftables.ChainPriorityFilter)
	w.rule(c, chain, w.from(), established(), accept())
	for group, n := range w.policies {
		w.nameServers(c, chain, meta(expr.MetaKeyIIFGROUP, group), n.DNS)
	}
	w.rule(c, chain, w.from(), []expr.Any{drop()})
}

// forwarding keeps sessions from each other and from what their policy excludes.
func (w *firewall) forwarding(c *nftables.Conn, policies map[uint32]*nftables.Chain) {
	chain := w.hook(c, "forward", nftables.ChainHookForward, nftables.ChainPriorityFilter)
	w.rule(c, chain, w.to(), established(), accept())
	w.rule(c, chain, w.to(), []expr.Any{drop()})
	w.rule(c, chain, w.from(), established(), accept())
	for group, p := range policies {
		w.rule(c, chain, meta(expr.MetaKeyIIFGROUP, group), []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: p.Name}})
	}
	w.rule(c, chain, w.from(), []expr.Any{drop()})
}

// policyChains makes a chain a policy that accepts what it allows.
func (w *firewall) policyChains(c *nftables.Conn) map[uint32]*nftables.Chain {
	chains := map[uint32]*nftables.Chain{}
	for group, n := range w.policies {
		chain := c.AddChain(&nftables.Chain{Name: fmt.Sprintf("policy%d", group-w.group), Table: w.table})
		chains[group] = chain
		w.nameServers(c, chain, nil, n.DNS)
		w.each(c, chain, append(slices.Clip(never), w.subnet), drop())
		w.each(c, chain, n.Allow, &expr.Verdict{Kind: expr.VerdictAccept})
		if n.Internet {
			w.each(c, chain, private, drop())
			w.rule(c, chain, accept())
		}
	}
	return chains
}

func (w *firewall) each(c *nftables.Conn, chain *nftables.Chain, to []netip.Prefix, verdict expr.Any) {
	for _, p := range to {
		if p.Addr().Is4() {
			w.rule(c, chain, destination(p), []expr.Any{verdict})
		}
	}
}

// nameServers accepts questions to port 53 of the servers.
func (w *firewall) nameServers(c *nftables.Conn, chain *nftables.Chain, match []expr.Any, servers []netip.Addr) {
	for _, s := range servers {
		if !s.Is4() {
			continue
		}
		for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			w.rule(c, chain, match, destination(netip.PrefixFrom(s, 32)), port(protocol, 53), accept())
		}
	}
}

// masquerade makes what leaves the host come from the host.
func (w *firewall) masquerade(c *nftables.Conn) {
	chain := c.AddChain(&nftables.Chain{
		Name: "masquerade", Table: w.table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	})
	w.rule(c, chain, w.member(expr.MetaKeyOIFGROUP, expr.CmpOpNeq), source(w.subnet), []expr.Any{&expr.Masq{}})
}

func (w *firewall) hook(c *nftables.Conn, name string, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
	return c.AddChain(&nftables.Chain{Name: name, Table: w.table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: priority})
}

func (w *firewall) rule(c *nftables.Conn, chain *nftables.Chain, parts ...[]expr.Any) {
	c.AddRule(&nftables.Rule{Table: w.table, Chain: chain, Exprs: slices.Concat(parts...)})
}

// from and to match packets of and for this Runtime's sessions.
func (w *firewall) from() []expr.Any { return w.member(expr.MetaKeyIIFGROUP, expr.CmpOpEq) }
func (w *firewall) to() []expr.Any   { return w.member(expr.MetaKeyOIFGROUP, expr.CmpOpEq) }

func (w *firewall) member(key expr.MetaKey, op expr.CmpOp) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: 1},
		mask(binaryutil.NativeEndian.PutUint32(1<<32 - 1<<policyBits)),
		&expr.Cmp{Op: op, Register: 1, Data: binaryutil.NativeEndian.PutUint32(w.group)},
	}
}

// meta matches one group exactly.
func meta(key expr.MetaKey, group uint32) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, equal(binaryutil.NativeEndian.PutUint32(group)...)}
}

// established matches packets of connections that were accepted before.
func established() []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		mask(binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)),
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(0)},
	}
}

// Offsets of the addresses in an IPv4 header.
const sourceAt, destinationAt = 12, 16

func source(p netip.Prefix) []expr.Any      { return address(p, sourceAt) }
func destination(p netip.Prefix) []expr.Any { return address(p, destinationAt) }

func address(p netip.Prefix, offset uint32) []expr.Any {
	ones := ^uint32(0) << (32 - p.Bits())
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal(unix.NFPROTO_IPV4),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		mask([]byte{byte(ones >> 24), byte(ones >> 16), byte(ones >> 8), byte(ones)}),
		equal(p.Masked().Addr().AsSlice()...),
	}
}

// port matches a destination port.
func port(protocol byte, number uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal(protocol),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		equal(byte(number>>8), byte(number)),
	}
}

func equal(data ...byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }
func accept() []expr.Any          { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }
func drop() expr.Any              { return &expr.Verdict{Kind: expr.VerdictDrop} }

// mask keeps the bits of register 1 that are set.
func mask(bits []byte) expr.Any {
	return &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(len(bits)), Mask: bits, Xor: make([]byte, len(bits))}
}
