// Command agentbay-guest is the daemon inside a session: it performs the tools
// that the host asks for. In a session on Linux it is process 1, so it also
// reaps what others leave behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/files"
	"github.com/agentbay/agentbay/internal/guest/shell"
	"github.com/agentbay/agentbay/tool"
)

func main() {
	runMounts(os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "agentbay-guest:", err)
		os.Exit(1)
	}
}

// A config is what the command line says.
type config struct {
	port     int
	dir      string
	families []tool.Family
	warm     []string // languages whose interpreters start at once
	procs    uint64
	tokenFD  int

	width, height int // of the screen, if there is one
}

func parse(args []string) (c config, err error) {
	f := flag.NewFlagSet("agentbay-guest", flag.ContinueOnError)
	f.IntVar(&c.port, "port", guest.Port, "TCP `port` to listen on")
	f.StringVar(&c.dir, "dir", "/", "`directory` that tools work in")
	f.Uint64Var(&c.procs, "procs", 0, "how many processes the session's user may have; 0 means no such limit")
	f.IntVar(&c.tokenFD, "token-fd", 0, "file `descriptor` to read the secret from to its end, unless it is in the environment variable "+guest.TokenEnv)
	families := f.String("families", "", "`list` of tool families, with commas")
	warm := f.String("warm", "", "`list` of languages, with commas, whose interpreters start at once")
	screen := f.String("screen", "1920x1080", "`size` of the screen in pixels, if there is one")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if _, err := fmt.Sscanf(*screen, "%dx%d", &c.width, &c.height); err != nil {
		return c, fmt.Errorf("-screen %q is not a size such as 1920x1080", *screen)
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q; -help lists the flags", f.Arg(0))
	}
	for _, name := range list(*families) {
		c.families = append(c.families, tool.Family(name))
	}
	c.warm = list(*warm)
	return c, nil
}

// list splits at commas.
func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' })
}

// A family performs some tools. Before the guest is ready it begins what the
// tools cannot do without; once it is, it may start what would be slow to start
// at the first call.
type family struct {
	register func(*guest.Mux)
	begin    func(context.Context) error // nil if there is nothing to begin
	warm     func()                      // nil if nothing is slow
}

// families is every family of tools that a guest can perform.
func families(c config) map[tool.Family]family {
	commands := shell.New(c.dir, os.Environ())
	all := map[tool.Family]family{
		tool.Shell: {register: commands.Register, warm: commands.Warm},
		tool.Files: {register: new(files.Files).Register},
	}
	addSystemFamilies(all, c)
	return all
}

// register makes m perform the families asked for, and returns them.
func register(m *guest.Mux, c config) (asked []family, err error) {
	known := families(c)
	for _, name := range c.families {
		f, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("no tool family %q; there is %q", name, slices.Sorted(maps.Keys(known)))
		}
		f.register(m)
		asked = append(asked, f)
	}
	return asked, nil
}

// run performs tools until ctx is done.
func run(ctx context.Context, args []string, ready io.Writer) error {
	c, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	token, err := takeToken(c.tokenFD)
	if err != nil {
		return err
	}
	m := &guest.Mux{Token: token}
	if err := settle(ctx, c); err != nil {
		return err
	}
	asked, err := register(m, c)
	if err != nil {
		return err
	}
	for _, f := range asked {
		if f.begin == nil {
			continue
		}
		if err := f.begin(ctx); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", ":"+strconv.Itoa(c.port))
	if err != nil {
		return err
	}
	fmt.Fprintln(ready, "ready") // nobody may be listening
	for _, f := range asked {
		if f.warm != nil {
			f.warm()
		}
	}
	return m.Serve(ctx, l)
}

// settle makes the process fit to live as long as its session.
func settle(ctx context.Context, c config) error {
	signal.Notify(make(chan os.Signal, 1), brokenPipe...) // not ignored, or what is started would inherit it
	guest.LimitProcesses(c.procs)
	if os.Getpid() == 1 {
		go guest.Reap(ctx)
	}
	keepThreads(spareThreads)
	return os.Chdir(c.dir)
}
