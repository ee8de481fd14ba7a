package main

import (
	"bufio"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/bay"
	"github.com/agentbay/agentbay/internal/captures"
	"github.com/agentbay/agentbay/internal/image"
	"github.com/agentbay/agentbay/internal/runtime"
	"github.com/agentbay/agentbay/internal/runtime/oci"
	"github.com/agentbay/agentbay/internal/store"
)

// A host is a bay that owns its data directory, with all it is made of.
type host struct {
	bay     *bay.Bay
	images  *image.Store
	storage *storage
}

// openHost takes the data directory and wires a bay. The bay is not started.
//
// Conflict: a server has the data directory.
func (a *app) openHost(ctx context.Context, o *serveOptions, log *slog.Logger) (*host, error) {
	network, err := o.network()
	if err != nil {
		return nil, err
	}
	images, err := image.Open(a.images)
	if err != nil {
		return nil, err
	}
	images.HoldFor(a.data)
	db, err := store.Serve(ctx, a.data)
	if err != nil {
		return nil, err
	}
	kept, err := a.openStorage(ctx, &o.storage, log)
	if err != nil {
		db.Close()
		return nil, err
	}
	h := &host{images: images, storage: kept, bay: &bay.Bay{
		Store: db, Images: images, Log: log,
		Runtime: o.runtime, ImageRuntimes: o.imageRuntimes, Warm: o.warm,
		Machine: o.machine, Network: network, Screens: o.screens, Links: o.linked(),
		Operator: o.llm.operator(), OperatorOf: o.llm.operatorOf, MaxTokensPerKey: o.llm.maxTokensPerKey,
		Captures:    &captures.Store{Dir: a.path("captures"), Keep: o.captures},
		Replays:     o.replays,
		MaxSessions: o.maxSessions, MaxSessionsPerKey: o.maxSessionsPerKey, Retention: o.retention,
		HighWater: bay.HighWater{Dir: a.data, FreeDisk: o.freeDisk, FreeMemory: o.freeMemory},
		Data: &bay.Data{
			Dir: a.path("mounts"), Blobs: kept.blobs, Chunks: kept.chunks.Tenant, Trees: kept.trees, Direct: kept.direct,
			MaxPerKey: o.storage.maxPerKey, Snapshots: o.storage.snapshots, History: o.storage.history,
		},
	}}
	if h.bay.Secret, err = db.Secret(ctx, "file URLs"); err != nil {
		h.close()
		return nil, err
	}
	if a.change != nil {
		a.change(h.bay)
		return h, nil
	}
	if err := a.addMachines(h.bay, o, log); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// addMachines gives a bay its runtimes and the guest they run.
func (a *app) addMachines(b *bay.Bay, o *serveOptions, log *slog.Logger) error {
	guest, err := program(o.guest, "agentbay-guest")
	if err != nil {
		return err
	}
	b.Guest = []string{guest}
	b.Runtimes = map[string]runtime.Runtime{}
	wanted := append(slices.Collect(maps.Values(o.imageRuntimes)), o.runtime)
	for _, name := range wanted {
		if runtimes[name] == nil {
			return agentbay.Errorf(agentbay.Invalid, "no runtime %q; there is %s", name, strings.Join(sortedKeys(runtimes), " and "))
		}
	}
	for _, name := range sortedKeys(runtimes) {
		rt, err := runtimes[name](a, o, log, slices.Contains(wanted, name))
		if err == nil {
			b.Runtimes[name] = rt
			continue
		}
		if slices.Contains(wanted, name) {
			return err
		}
		log.Info("a runtime that is not needed is not there", "runtime", name, "err", err)
	}
	return nil
}

// runtimes is every way this program can boot a session. One that is not
// wanted is opened too, because sessions of an earlier configuration may run in
// it, but keeps nothing ready.
var runtimes = map[string]func(a *app, o *serveOptions, log *slog.Logger, wanted bool) (runtime.Runtime, error){
	"runsc": func(a *app, o *serveOptions, log *slog.Logger, wanted bool) (runtime.Runtime, error) {
		return a.openOCI(oci.RunSC, o.runsc, o, log, wanted)
	},
	"runc": func(a *app, o *serveOptions, log *slog.Logger, wanted bool) (runtime.Runtime, error) {
		return a.openOCI(oci.RunC, o.runc, o, log, wanted)
	},
}

func (a *app) openOCI(p *oci.Profile, binary string, o *serveOptions, log *slog.Logger, wanted bool) (runtime.Runtime, error) {
	binary, err := program(binary, p.Name)
	if err != nil {
		return nil, err
	}
	options := oci.Options{Profile: p, StateDir: a.path("machines", p.Name), Binary: binary, Platform: o.platform, Limits: o.machine, Log: log}
	if !wanted {
		options.Slots = -1
	}
	if o.subnet != "" {
		if options.Subnet, err = netip.ParsePrefix(o.subnet); err != nil {
			return nil, agentbay.Errorf(agentbay.Invalid, "--subnet %q is not a range such as 198.18.0.0/15", o.subnet)
		}
	}
	return oci.Open(options)
}

// close gives back what openHost took. Sessions stay.
func (h *host) close() {
	for name, rt := range h.bay.Runtimes {
		if err := rt.Close(); err != nil {
			h.bay.Log.Error("a runtime did not close", "runtime", name, "err", err)
		}
	}
	if err := h.storage.Close(); err != nil {
		h.bay.Log.Error("what contexts are kept in did not close", "err", err)
	}
	if err := h.bay.Store.Close(); err != nil {
		h.bay.Log.Error("the store did not close", "err", err)
	}
}

// program finds a program: the one that was named, else the one beside this
// program, else the one in PATH.
func program(named, name string) (string, error) {
	if named != "" {
		full, err := filepath.Abs(named)
		if err == nil {
			_, err = os.Stat(full)
		}
		return full, agentbay.Wrap(err, agentbay.Invalid, "the %s that was named is not there", name)
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), name)
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	found, err := exec.LookPath(name)
	return found, agentbay.Wrap(err, agentbay.Unavailable, "no %s beside agentbay or in PATH; scripts/build makes it, and --%s names another",
		name, strings.TrimPrefix(name, "agentbay-"))
}

// hostDNS is the name servers that a session can use too: not those on the
// host's own loopback, but what stands behind them.
func hostDNS() []netip.Addr {
	for _, file := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		if servers := nameServers(file); len(servers) > 0 {
			return servers
		}
	}
	return publicDNS
}

// publicDNS answers where the host has no name server that sessions can reach.
var publicDNS = []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("8.8.8.8")}

func nameServers(file string) (servers []netip.Addr) {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		addr, err := netip.ParseAddr(fields[1])
		if err == nil && addr.Is4() && !addr.IsLoopback() {
			servers = append(servers, addr)
		}
	}
	return servers
}
