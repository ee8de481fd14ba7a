package files

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// listDirectory says of a link what it leads to.
func listDirectory(_ context.Context, in tool.PathIn) (guest.Answer, error) {
	path, err := absolute(in.Path)
	if err != nil {
		return guest.Answer{}, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return guest.Answer{}, failed("list", path, err)
	}
	if len(entries) == 0 {
		return guest.Text("(empty directory)"), nil
	}
	lines := make([]string, len(entries))
	for i, e := range entries {
		lines[i] = "[FILE] " + oneLine(e.Name())
		if leadsToDir(path, e) {
			lines[i] = "[DIR] " + oneLine(e.Name())
		}
	}
	return guest.Text(strings.Join(lines, "\n")), nil
}

func leadsToDir(dir string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(filepath.Join(dir, e.Name()))
	return err == nil && info.IsDir()
}

func fileInfo(_ context.Context, in tool.PathIn) (guest.Answer, error) {
	path, err := absolute(in.Path)
	if err != nil {
		return guest.Answer{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return guest.Answer{}, failed("describe", path, err)
	}
	more := detailsOf(path, info)
	modified := info.ModTime().Format(time.RFC3339)
	var b strings.Builder
	for _, line := range [][2]any{
		{"name", oneLine(filepath.Base(path))},
		{"path", oneLine(path)},
		{"size", info.Size()},
		{"isDirectory", info.IsDir()},
		{"isFile", info.Mode().IsRegular()},
		{"permissions", fmt.Sprintf("%03o", info.Mode().Perm())},
		{"created", more.created.Format(time.RFC3339)},
		{"modified", modified},
		{"accessed", more.accessed.Format(time.RFC3339)},
		{"modTime", modified},
		{"mode", info.Mode()},
		{"owner", more.owner},
		{"group", more.group},
	} {
		fmt.Fprintf(&b, "%s: %v\n", line[0], line[1])
	}
	return guest.Text(strings.TrimSuffix(b.String(), "\n")), nil
}

// details are what only some systems know of a file.
type details struct {
	created, accessed time.Time
	owner, group      string
}
