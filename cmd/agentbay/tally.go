package main

import (
	"fmt"
	"os"
	"sync"
	"text/tabwriter"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/agentbay/agentbay"
)

// A tally tells how far the copying of files is: with a bar on a terminal,
// else with a line for each file. Its methods may be called concurrently.
type tally struct {
	app  *app
	verb string // what was done with the files

	mu    sync.Mutex
	bar   *progressbar.ProgressBar // guarded by mu; nil without a terminal
	total int64                    // guarded by mu; bytes known of
	files int64                    // guarded by mu; done
	bytes int64                    // guarded by mu; moved
}

func (a *app) newTally(verb string) *tally {
	t := &tally{app: a, verb: verb}
	if f, ok := a.errOut.(*os.File); ok && term.IsTerminal(int(f.Fd())) && a.output != "json" {
		t.bar = progressbar.NewOptions64(1, progressbar.OptionSetWriter(f), progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true),
			progressbar.OptionThrottle(100e6), progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth())
	}
	return t
}

// expect adds a file of size bytes to what there is to do.
func (t *tally) expect(size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total += size
	if t.bar != nil {
		t.bar.ChangeMax64(t.total + 1) // a bar that is full does not grow any more
	}
}

// file watches one file.
func (t *tally) file() agentbay.TransferOption {
	var before int64
	return agentbay.OnProgress(func(moved, _ int64) {
		t.move(moved - before)
		before = moved
	})
}

func (t *tally) move(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes += n
	if t.bar == nil {
		return
	}
	if t.bytes > t.total {
		t.total = t.bytes
		t.bar.ChangeMax64(t.total + 1)
	}
	_ = t.bar.Set64(t.bytes) // a terminal that is gone is no reason to stop
}

// donef says that a file is done.
func (t *tally) donef(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.files++
	if t.bar != nil {
		t.bar.Describe(fmt.Sprintf("%d files", t.files))
		return
	}
	t.app.sayf("%s %s", t.verb, plainText(fmt.Sprintf(format, args...)))
}

// end takes the bar away.
func (t *tally) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bar != nil {
		_ = t.bar.Clear() // as above
		t.bar = nil
	}
}

// report prints what was done in all.
func (t *tally) report() error {
	t.end()
	done := struct {
		Files int64 `json:"files"`
		Bytes int64 `json:"bytes"`
	}{t.files, t.bytes}
	return t.app.print(done, func(w *tabwriter.Writer) {
		fmt.Fprintf(w, "%d files, %s\n", done.Files, sizeText(done.Bytes))
	})
}
