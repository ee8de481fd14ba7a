package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/agentbay/agentbay"
)

// A fileView is a file, directory or link of a context as it is printed.
type fileView struct {
	Path       string    `json:"path"`
	Type       string    `json:"type"` // file, directory or link
	Size       int64     `json:"size"`
	Link       string    `json:"link,omitempty"`
	SavedAt    time.Time `json:"saved_at,omitzero"`
	ModifiedAt time.Time `json:"modified_at,omitzero"`
}

func fileViewOf(f agentbay.ContextFile) fileView {
	kind := "file"
	switch {
	case f.Dir:
		kind = "directory"
	case f.Link != "":
		kind = "link"
	}
	return fileView{f.Path, kind, f.Size, f.Link, f.SavedAt, f.ModifiedAt}
}

func (a *app) contextFiles() *cobra.Command {
	var limit, skip int
	c := &cobra.Command{
		Use:   "files CONTEXT[:DIRECTORY]",
		Short: "List a directory of a context",
		Example: `  agentbay context files my-project
  agentbay context files my-project:/tmp/data
  agentbay context files my-project:/tmp/data --skip 1000`,
		Args: cobra.ExactArgs(1),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) error {
			arg := args[0]
			if !isPlace(arg) {
				arg += ":/"
			}
			dir, err := findPlace(ctx, bay, arg)
			if err != nil {
				return err
			}
			views, total, err := readDir(ctx, bay, dir, skip, limit)
			if err != nil {
				return err
			}
			return a.print(views, func(w *tabwriter.Writer) {
				printFiles(w, views)
				if left := total - skip - len(views); left > 0 && len(views) > 0 {
					fmt.Fprintf(w, "and %d more; --skip %d goes on\n", left, skip+len(views))
				}
			})
		}),
	}
	c.Flags().IntVar(&limit, "limit", 1000, "at most this many")
	c.Flags().IntVar(&skip, "skip", 0, "leave out this many, by name")
	return c
}

// pageSize is how many entries of a directory are asked for at once.
const pageSize = 1000

// readDir reads entries of a directory, and says how many there are in all.
func readDir(ctx context.Context, bay agentbay.ContextService, dir place, skip, limit int) (views []fileView, total int, err error) {
	views = []fileView{}
	for len(views) < limit {
		page, err := bay.ContextFiles(ctx, dir.context.ID, dir.path, skip+len(views), min(limit-len(views), pageSize))
		if err != nil {
			return nil, 0, err
		}
		total = page.Total
		for _, f := range page.Files {
			views = append(views, fileViewOf(f))
		}
		if len(page.Files) == 0 || skip+len(views) >= total {
			break
		}
	}
	return views, total, nil
}

func printFiles(w *tabwriter.Writer, files []fileView) {
	fmt.Fprintln(w, "SIZE\tMODIFIED\tNAME")
	for _, f := range files {
		name, size := plainText(path.Base(f.Path)), sizeText(f.Size)
		switch f.Type {
		case "directory":
			name, size = name+"/", "-"
		case "link":
			name, size = name+" -> "+plainText(f.Link), "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", size, timeText(f.ModifiedAt), name)
	}
}

func (a *app) contextCat() *cobra.Command {
	return &cobra.Command{
		Use:     "cat CONTEXT:PATH",
		Short:   "Print a file of a context",
		Example: `  agentbay context cat my-project:/tmp/data/a.txt`,
		Args:    cobra.ExactArgs(1),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) error {
			at, err := findPlace(ctx, bay, args[0])
			if err != nil {
				return err
			}
			return filesHint(bay.GetContextFile(ctx, at.context.ID, at.path, a.out))
		}),
	}
}

func (a *app) contextPut() *cobra.Command {
	return &cobra.Command{
		Use:   "put LOCAL... CONTEXT:PATH",
		Short: "Copy files and directories into a context",
		Long: `Copy local files and directories into a context. PATH is what LOCAL will be called
there; if it ends in a slash, or there are several LOCAL, they keep their names and go
below it. LOCAL "-" is what comes in.

Only files and their content are copied: no links, no empty directories, no modes. A
session that mounts the context keeps those too.`,
		Example: `  agentbay context put report.pdf my-project:/tmp/data/
  agentbay context put ./src my-project:/tmp/data/src
  pg_dump db | agentbay context put - my-project:/tmp/data/db.sql`,
		Args: cobra.MinimumNArgs(2),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) error {
			locals := args[:len(args)-1]
			to, err := findPlace(ctx, bay, args[len(args)-1])
			if err != nil {
				return err
			}
			if len(locals) == 1 && locals[0] == "-" {
				return a.putInput(ctx, bay, to)
			}
			return a.put(ctx, bay, locals, to)
		}),
	}
}

// putInput makes what comes in a file.
func (a *app) putInput(ctx context.Context, bay *agentbay.Client, to place) error {
	if strings.HasSuffix(to.path, "/") {
		return agentbay.Errorf(agentbay.Invalid, "what comes in has no name; give it one behind %s", to.path)
	}
	p := a.newTally("put")
	defer p.end()
	if err := bay.PutContextFile(ctx, to.context.ID, to.path, a.in, p.file()); err != nil {
		return err
	}
	p.donef("- as %s", to.path)
	return p.report()
}

// An upload is a local file and what it is to be called.
type upload struct {
	local, remote string
	size          int64
}

func (a *app) put(ctx context.Context, bay *agentbay.Client, locals []string, to place) error {
	all := a.uploads(locals, to.path)
	p := a.newTally("put")
	defer p.end()
	for u, err := range all {
		if err != nil {
			return err
		}
		p.expect(u.size)
	}
	err := several(ctx, all, func(ctx context.Context, u upload) error {
		if err := putFile(ctx, bay, to.context.ID, u, p); err != nil {
			return fmt.Errorf("%s: %w", u.local, err)
		}
		p.donef("%s as %s", u.local, u.remote)
		return nil
	})
	if err != nil {
		return err
	}
	return p.report()
}

func putFile(ctx context.Context, bay *agentbay.Client, id agentbay.ContextID, u upload, p *tally) error {
	f, err := os.Open(u.local)
	if err != nil {
		return err
	}
	defer f.Close()
	return bay.PutContextFile(ctx, id, u.remote, f, p.file())
}

// uploads yields the files of locals and below them.
func (a *app) uploads(locals []string, to string) iter.Seq2[upload, error] {
	below := len(locals) > 1 || strings.HasSuffix(to, "/")
	return func(yield func(upload, error) bool) {
		for _, local := range locals {
			remote := to
			if below {
				remote = path.Join(to, nameOf(local))
			}
			for u, err := range filesBelow(local, remote) {
				if !yield(u, err) {
					return
				}
			}
		}
	}
}

// nameOf is the last part of a path, also of one such as "..".
func nameOf(local string) string {
	if full, err := filepath.Abs(local); err == nil {
		local = full
	}
	return filepath.Base(local)
}

// filesBelow yields a file, or the files of a directory. What is neither is left
// out, unless it is named.
func filesBelow(local, remote string) iter.Seq2[upload, error] {
	return func(yield func(upload, error) bool) {
		top, err := filepath.EvalSymlinks(local)
		if err != nil {
			yield(upload{}, agentbay.Wrap(err, agentbay.NotFound, "%s cannot be found", local))
			return
		}
		err = filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if name != top && !d.Type().IsRegular() || d.IsDir() {
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			rel := strings.TrimPrefix(name, top)
			if !yield(upload{name, remote + filepath.ToSlash(rel), info.Size()}, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			yield(upload{}, agentbay.Wrap(err, agentbay.Denied, "%s cannot be read", local))
		}
	}
}

// errStop ends a walk that nobody wants more of.
var errStop = errors.New("stop")

func (a *app) contextGet() *cobra.Command {
	return &cobra.Command{
		Use:   "get CONTEXT | CONTEXT:PATH [LOCAL]",
		Short: "Describe a context, or copy a file or directory out of it",
		Long: `Describe a context; or, with a path, copy a file or directory out of it. LOCAL is what
it will be called; if that is a directory, or ends in a slash, it keeps its name and goes
below it. The default is the directory you are in.`,
		Example: `  agentbay context get my-project
  agentbay context get my-project:/tmp/data/report.pdf
  agentbay context get my-project:/tmp/data ./copy`,
		Args: cobra.RangeArgs(1, 2),
		RunE: a.withBay(func(ctx context.Context, bay *agentbay.Client, args []string) error {
			if !isPlace(args[0]) {
				if len(args) > 1 {
					return agentbay.Errorf(agentbay.Invalid, "which files? %s: is all of them", args[0])
				}
				return a.describe(ctx, bay, args[0])
			}
			from, err := findPlace(ctx, bay, args[0])
			if err != nil {
				return err
			}
			return a.get(ctx, bay, from, destination(from, append(args, ".")[1]))
		}),
	}
}

// destination is what the copy of a place is called.
func destination(from place, local string) string {
	info, err := os.Stat(local)
	below := strings.HasSuffix(local, "/") || err == nil && info.IsDir()
	if name := path.Base(from.path); below && name != "/" {
		return filepath.Join(local, name)
	}
	return filepath.Clean(local)
}

// get copies a file or directory to local.
func (a *app) get(ctx context.Context, bay *agentbay.Client, from place, local string) error {
	isDir, err := isDirectory(ctx, bay, from)
	if err != nil {
		return filesHint(err)
	}
	below, name := local, "."
	if !isDir {
		below, name = filepath.Split(local)
	}
	d, err := openDownload(bay, from.context.ID, below, a.newTally("got"))
	if err != nil {
		return err
	}
	defer d.close()
	if isDir {
		err = several(ctx, filesOf(ctx, bay, from), d.get)
	} else {
		err = d.get(ctx, remoteFile{name: name, file: agentbay.ContextFile{Path: from.path, Size: -1}})
	}
	if err != nil {
		return err
	}
	return d.tally.report()
}

// isDirectory tells a directory from a file.
//
// NotFound: it is neither.
func isDirectory(ctx context.Context, bay agentbay.ContextService, at place) (bool, error) {
	page, err := bay.ContextFiles(ctx, at.context.ID, at.path, 0, 1)
	if err != nil || page.Total > 0 {
		return true, err
	}
	_, err = bay.DownloadURL(ctx, at.context.ID, at.path)
	if errors.Is(err, agentbay.Invalid) { // an empty one has no URL either
		return true, nil
	}
	return false, err
}

// A remoteFile is a file of a context and its name below the directory that is
// copied.
type remoteFile struct {
	name string
	file agentbay.ContextFile
}

// filesOf yields what is below a directory of a context.
func filesOf(ctx context.Context, bay agentbay.ContextService, dir place) iter.Seq2[remoteFile, error] {
	return func(yield func(remoteFile, error) bool) {
		walk(ctx, bay, dir, ".", yield)
	}
}

// walk yields what is below a directory, which is called name. It reports
// whether more is wanted.
func walk(ctx context.Context, bay agentbay.ContextService, dir place, name string, yield func(remoteFile, error) bool) bool {
	for skip, total := 0, 1; skip < total; {
		page, err := bay.ContextFiles(ctx, dir.context.ID, dir.path, skip, pageSize)
		if err != nil {
			return yield(remoteFile{}, err)
		}
		for _, f := range page.Files {
			below := path.Join(name, f.Name)
			if !yield(remoteFile{below, f}, nil) || f.Dir && !walk(ctx, bay, place{dir.context, f.Path}, below, yield) {
				return false
			}
		}
		skip, total = skip+len(page.Files), page.Total
		if len(page.Files) == 0 {
			break
		}
	}
	return true
}
