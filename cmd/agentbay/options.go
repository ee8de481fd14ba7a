package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/runtime"
)

type tlsConfig = tls.Config

// serveOptions are the flags of a server.
type serveOptions struct {
	listen, publicURL string
	tlsNames          []string
	certFile, keyFile string
	plain             bool

	runtime       string
	imageRuntimes map[string]string
	runsc, runc   string
	guest         string
	platform      string
	warm          map[string]int
	screens       map[string]string
	links         map[string]string

	storage storageOptions
	llm     llmOptions

	machine    runtime.Limits
	noInternet bool
	allow, dns []string
	subnet     string

	maxSessions, maxSessionsPerKey int
	freeDisk, freeMemory           int64
	retention, captures, grace     time.Duration
	replays                        bool
	logLevel                       slog.Level
}

func (o *serveOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.listen, "listen", "127.0.0.1:8443", "address to listen on; \":8443\" means every one of the host's")
	f.StringVar(&o.publicURL, "public-url", "", "URL under which clients reach the bay, if a proxy or a name is in front of it")
	f.StringSliceVar(&o.tlsNames, "tls-name", nil, "further names and addresses in the certificate that the bay makes")
	f.StringVar(&o.certFile, "tls-cert", "", "PEM file of a certificate to use instead; read anew when it changes")
	f.StringVar(&o.keyFile, "tls-key", "", "PEM file of its key")
	f.BoolVar(&o.plain, "plain", false, "speak plain HTTP only, for a proxy that does the TLS")

	f.StringVar(&o.runtime, "runtime", "runsc", "what keeps sessions in: runsc (gVisor) or runc (containers)")
	f.StringToStringVar(&o.imageRuntimes, "image-runtime", nil, "what keeps sessions of an image in, image=runtime")
	f.StringVar(&o.runsc, "runsc", "", "gVisor's runsc (default the one beside agentbay, else in PATH)")
	f.StringVar(&o.runc, "runc", "", "runc (default the one in PATH)")
	f.StringVar(&o.guest, "guest", "", "the guest (default agentbay-guest beside agentbay)")
	f.StringVar(&o.platform, "platform", "", "gVisor's platform (default systrap)")
	f.StringToIntVar(&o.warm, "warm", map[string]int{"code_latest": 1, "linux_latest": 1}, "how many sessions of an image to keep booted ahead, image=number; code_latest=0 keeps none")

	f.StringToStringVar(&o.screens, "screen", nil, "size of the screen in sessions of an image, image=WIDTHxHEIGHT (default the image's)")
	f.StringToStringVar(&o.links, "link", nil, "whether clients are given a link to call tools in sessions of an image, image=true or image=false (default the image's)")

	f.Float64Var(&o.machine.CPU, "cpu", 2, "processors of a session")
	f.Var((*byteSize)(&o.machine.Memory), "memory", "memory of a session (default 2GiB)")
	f.Int64Var(&o.machine.Pids, "pids", 1024, "processes and threads of a session")
	f.Var((*byteSize)(&o.machine.Disk), "disk", "bytes a session may write to its root file system (default 10GiB)")
	f.BoolVar(&o.noInternet, "no-internet", false, "sessions reach no public addresses")
	f.StringSliceVar(&o.allow, "allow", nil, "private ranges sessions may reach, such as 10.1.2.0/24")
	f.StringSliceVar(&o.dns, "dns", nil, "name servers of sessions (default the host's)")
	f.StringVar(&o.subnet, "subnet", "", "range for the addresses of sessions (default 198.18.0.0/15)")

	f.IntVar(&o.maxSessions, "max-sessions", 0, "sessions at once; 0 means as many as the host takes")
	f.IntVar(&o.maxSessionsPerKey, "max-sessions-per-key", 0, "sessions at once for a key without a quota of its own; 0 means no limit")
	o.freeDisk, o.freeMemory = 2<<30, 512<<20
	f.Var((*byteSize)(&o.freeDisk), "keep-free-disk", "new sessions are refused when the disk has less left")
	f.Var((*byteSize)(&o.freeMemory), "keep-free-memory", "new sessions are refused when the host has less left")
	o.storage.flags(f)
	o.llm.flags(f)
	f.DurationVar(&o.retention, "retention", 24*time.Hour, "how long ended sessions are remembered")
	f.DurationVar(&o.captures, "keep-captures", 24*time.Hour, "how long pictures, recordings and replays are kept, also after their session")
	f.BoolVar(&o.replays, "replays", false, "record what the pages of browsers show, unless a client says that it is not to be")
	f.DurationVar(&o.grace, "grace", 10*time.Second, "how long calls in flight may take to end when the server stops")
	f.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "least level that is logged: debug, info, warn or error")
}

// check refuses what cannot be meant.
func (o *serveOptions) check() error {
	if (o.certFile == "") != (o.keyFile == "") {
		return agentbay.Errorf(agentbay.Invalid, "--tls-cert and --tls-key belong together")
	}
	if o.plain && o.certFile != "" {
		return agentbay.Errorf(agentbay.Invalid, "--plain needs no certificate; leave one of the two out")
	}
	for image, size := range o.screens {
		var w, h int
		if n, err := fmt.Sscanf(size+"\n", "%dx%d\n", &w, &h); err != nil || n != 2 || w < minSide || h < minSide || w > maxSide || h > maxSide {
			return agentbay.Errorf(agentbay.Invalid, "--screen %s=%s is no size such as 1920x1080, with sides from %d to %d", image, size, minSide, maxSide)
		}
	}
	for image, link := range o.links {
		if _, err := strconv.ParseBool(link); err != nil {
			return agentbay.Errorf(agentbay.Invalid, "--link %s=%s is neither true nor false", image, link)
		}
	}
	if err := o.llm.check(); err != nil {
		return err
	}
	if err := o.storage.check(); err != nil || o.publicURL == "" {
		return err
	}
	u, err := url.Parse(o.publicURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return agentbay.Errorf(agentbay.Invalid, "--public-url %q is not https://host:port or http://host:port", o.publicURL)
	}
	return nil
}

// The shortest and the longest side of a screen, in pixels.
const minSide, maxSide = 320, 8192

// linked is whether images have links, where that is said.
func (o *serveOptions) linked() map[string]bool {
	all := map[string]bool{}
	for image, link := range o.links {
		all[image], _ = strconv.ParseBool(link) // check was there
	}
	return all
}

// network is what sessions may reach.
func (o *serveOptions) network() (runtime.Network, error) {
	n := runtime.Network{Internet: !o.noInternet}
	for _, s := range o.allow {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return n, agentbay.Errorf(agentbay.Invalid, "--allow %q is not a range such as 10.1.2.0/24", s)
		}
		n.Allow = append(n.Allow, p)
	}
	for _, s := range o.dns {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return n, agentbay.Errorf(agentbay.Invalid, "--dns %q is not an IP address", s)
		}
		n.DNS = append(n.DNS, addr)
	}
	if len(o.dns) == 0 {
		n.DNS = hostDNS()
	}
	return n, nil
}

// A byteSize is a flag such as "512MiB", "2G" or "1048576".
type byteSize int64

func (b *byteSize) Type() string { return "size" }

func (b *byteSize) String() string {
	n, unit := int64(*b), 0
	for n != 0 && n%1024 == 0 && unit < len(sizeUnits)-1 {
		n, unit = n/1024, unit+1
	}
	if unit == 0 {
		return strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("%d%ciB", n, sizeUnits[unit])
}

const sizeUnits = " KMGT"

func (b *byteSize) Set(s string) error {
	upper := strings.ToUpper(strings.ReplaceAll(s, " ", ""))
	digits := strings.TrimRight(upper, "IBKMGT")
	unit := strings.TrimSuffix(strings.TrimSuffix(upper[len(digits):], "B"), "I")
	power := 0
	if unit != "" {
		power = strings.Index(sizeUnits, unit)
	}
	n, err := strconv.ParseFloat(digits, 64)
	n *= float64(int64(1) << (10 * max(power, 0)))
	if err != nil || !(n >= 0 && n <= 1<<60) || len(unit) > 1 || power < 0 {
		return fmt.Errorf("%q is not a size such as 512MiB or 2GiB", s)
	}
	*b = byteSize(n)
	return nil
}
