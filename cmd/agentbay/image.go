package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/agentbay/agentbay"
	"github.com/agentbay/agentbay/internal/image"
)

func (a *app) imageCommand() *cobra.Command {
	return group("image", "Build and list images", a.imageBuild(), a.imageList(), a.imageRemove())
}

func (a *app) imageBuild() *cobra.Command {
	return &cobra.Command{
		Use:   "build [NAME...]",
		Short: "Build images, all that are missing or out of date if none is named",
		Long: `Build images from Debian packages. What was built before is used again, so a build
that was stopped goes on where it was, and one that changes nothing takes no time.
Sessions that run keep the image they were made from.`,
		Example: `  agentbay image build
  agentbay image build code_latest`,
		RunE: withContext(func(ctx context.Context, args []string) error { return a.buildImages(ctx, args) }),
	}
}

// buildImages builds the images named, or all on offer.
func (a *app) buildImages(ctx context.Context, names []string) error {
	if a.change != nil {
		return nil
	}
	s, err := image.Open(a.images)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		list, err := s.List()
		if err != nil {
			return err
		}
		for _, l := range list {
			names = append(names, l.Name)
		}
	}
	for _, name := range names {
		if err := a.buildImage(ctx, s, name); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) buildImage(ctx context.Context, s *image.Store, name string) error {
	p := a.newProgress()
	img, err := (&image.Builder{Store: s}).Build(ctx, name, p.report)
	p.end()
	if agentbay.CodeOf(err) == agentbay.Unavailable {
		return hinted{err, "did a download fail? `apt-get update` shows whether this machine reaches its Debian mirror"}
	}
	if err != nil {
		return err
	}
	a.sayf("image      %s %s, %s", img.Name, shortDigest(img.Digest), sizeText(img.Size))
	return nil
}

// A progress shows a build. On a terminal that is a line for each step that was
// done, and one that lives: the step that is being done, how far it is and how
// long it has taken. Elsewhere, such as in the log of continuous integration, it
// is a line when a step begins, one every half minute, and one when it is done.
type progress struct {
	app  *app
	live bool // on a terminal
	stop func()

	mu     sync.Mutex // guards what follows, and what is printed
	now    image.Progress
	began  time.Time // when the step began that is being done
	active bool      // a step is being done
}

func (a *app) newProgress() *progress {
	f, ok := a.out.(*os.File)
	p := &progress{app: a, live: ok && a.output != "json" && term.IsTerminal(int(f.Fd()))}
	again := 30 * time.Second
	if p.live {
		again = time.Second
	}
	p.stop = every(again, p.remind)
	return p
}

// every calls f again and again, until the function it returns was called.
func every(d time.Duration, f func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				f()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (p *progress) report(now image.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	begins := !p.active
	p.now, p.active = now, !now.Done
	if begins {
		p.began = time.Now().Add(-now.Elapsed)
	}
	switch {
	case now.Cached:
		p.clear()
	case now.Done:
		p.clear()
		p.app.sayf("%s: %s", p.head(), brief(now.Elapsed))
	case p.live:
		p.show()
	case begins:
		p.app.sayf("%s ...", p.head())
	}
}

// remind shows again where the build is, for a step that has nothing to say
// for a while.
func (p *progress) remind() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active {
		p.show()
	}
}

// show prints the step that is being done.
func (p *progress) show() {
	line := fmt.Sprintf("%s: %d%% %s %s", p.head(), p.now.Percent, time.Since(p.began).Round(time.Second), p.now.Detail)
	line = clip(strings.TrimSpace(line), 110)
	if !p.live {
		p.app.sayf("%s", line)
		return
	}
	p.clear()
	fmt.Fprint(p.app.out, line)
}

func (p *progress) head() string {
	if p.now.Number == 0 { // before the first step
		return fmt.Sprintf("image      %s %s", p.now.Image, p.now.Step)
	}
	return fmt.Sprintf("image      %s [%d/%d] %s", p.now.Image, p.now.Number, p.now.Steps, p.now.Step)
}

// clear empties the line on a terminal.
func (p *progress) clear() {
	if p.live {
		fmt.Fprint(p.app.out, "\r\x1b[K")
	}
}

func (p *progress) end() {
	p.stop()
	p.clear()
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}

func shortDigest(d string) string { return clip(strings.TrimPrefix(d, "sha256:"), 12) }

// An imageView is an image as it is printed.
type imageView struct {
	Name    string    `json:"name"`
	Aliases []string  `json:"aliases,omitempty"`
	Summary string    `json:"summary"`
	Ready   bool      `json:"ready"`
	Current bool      `json:"current"`
	Digest  string    `json:"digest,omitempty"`
	Size    int64     `json:"size,omitempty"`
	Built   time.Time `json:"built,omitzero"`
	User    string    `json:"user,omitempty"`
	Dir     string    `json:"dir,omitempty"`
}

func (a *app) imageList() *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the images this bay offers, built or not",
		Args:    cobra.NoArgs,
		RunE: withContext(func(context.Context, []string) error {
			s, err := image.Open(a.images)
			if err != nil {
				return err
			}
			list, err := s.List()
			if err != nil {
				return err
			}
			views := []imageView{}
			for _, l := range list {
				views = append(views, imageView{l.Name, l.Aliases, l.Summary, l.Ready, l.Current, l.Digest, l.Size, l.Built, l.Config.User.Name, l.Config.Dir})
			}
			return a.print(views, func(w *tabwriter.Writer) { printImages(w, views) })
		}),
	}
}

func printImages(w *tabwriter.Writer, views []imageView) {
	fmt.Fprintln(w, "IMAGE\tSTATE\tDIGEST\tSIZE\tUSER\tWHAT")
	for _, v := range views {
		state, size := "not built", ""
		if v.Ready {
			state, size = "out of date", sizeText(v.Size)
		}
		if v.Current {
			state = "ready"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", v.Name, state, shortDigest(v.Digest), size, v.User, v.Summary)
	}
}

func (a *app) imageRemove() *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME...",
		Aliases: []string{"delete"},
		Short:   "Remove images; sessions that run from them keep them until they end",
		Example: "  agentbay image rm linux_latest",
		Args:    cobra.MinimumNArgs(1),
		RunE: withContext(func(ctx context.Context, args []string) error {
			s, err := image.Open(a.images)
			if err != nil {
				return err
			}
			for _, name := range args {
				if err := s.Remove(ctx, name); err != nil {
					return err
				}
				a.sayf("%s removed", name)
			}
			return nil
		}),
	}
}
