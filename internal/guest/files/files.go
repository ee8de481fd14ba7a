// Package files reads, writes, finds and watches files inside a session. It
// does so as any program of the session's user would: links are followed, modes
// and owners are those of the system.
package files

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// Files performs the files family in one session. The zero value is ready.
type Files struct {
	mu    sync.Mutex
	feeds map[string]*feed // by the directory watched; guarded by mu
}

// Register makes m perform the files family.
func (f *Files) Register(m *guest.Mux) {
	guest.Handle(m, tool.CreateDirectory, createDirectory)
	guest.Handle(m, tool.DeleteFile, deleteFile)
	guest.Handle(m, tool.EditFile, editFile)
	guest.Handle(m, tool.FileInfo, fileInfo)
	guest.Handle(m, tool.ListDirectory, listDirectory)
	guest.Handle(m, tool.MoveFile, moveFile)
	guest.Handle(m, tool.ReadFile, readFile)
	guest.Handle(m, tool.ReadFiles, readFiles)
	guest.Handle(m, tool.SearchFiles, searchFiles)
	guest.Handle(m, tool.WriteFile, writeFile)
	guest.Handle(m, tool.FileChange, f.changes)
	guest.HandleStream(m, tool.FileChange, f.pushChanges)
}

// absolute checks a path that a client sent, and cleans it.
func absolute(path string) (string, error) {
	switch {
	case path == "":
		return "", guest.Failf(guest.BadArgument, "the path is empty")
	case strings.ContainsRune(path, 0):
		return "", guest.Failf(guest.BadArgument, "the path contains a NUL character")
	case !filepath.IsAbs(path):
		return "", guest.Failf(guest.BadArgument, "%s is not an absolute path", brief(path))
	}
	return filepath.Clean(path), nil
}

// ours are the errors that say more of the session than of the path.
var ours = []error{syscall.ENOSPC, syscall.EIO, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM}

// failed is the failure to do something to a path.
func failed(doing, path string, err error) error {
	number := guest.BadArgument
	for _, known := range ours {
		if errors.Is(err, known) {
			number = guest.Unsuccessful
		}
	}
	return guest.Failf(number, "cannot %s %s: %s", doing, brief(path), guest.Reason(err))
}

// brief quotes text of a client, which may be of any length.
func brief(text string) string {
	const most = 300
	if len(text) > most {
		return strconv.Quote(text[:most]) + "…"
	}
	return strconv.Quote(text)
}

// oneLine makes a name fit in an answer of lines.
func oneLine(name string) string {
	return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(name)
}

func createDirectory(_ context.Context, in tool.PathIn) (guest.Answer, error) {
	path, err := absolute(in.Path)
	if err != nil {
		return guest.Answer{}, err
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return guest.Answer{}, failed("create directory", path, err)
	}
	return guest.Text("Created directory " + path), nil
}

func deleteFile(_ context.Context, in tool.PathIn) (guest.Answer, error) {
	path, err := absolute(in.Path)
	if err != nil {
		return guest.Answer{}, err
	}
	if path == filepath.Dir(path) {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "%s is the root of the file system and cannot be deleted", path)
	}
	if _, err := os.Lstat(path); err != nil {
		return guest.Answer{}, failed("delete", path, err)
	}
	if err := os.RemoveAll(path); err != nil {
		return guest.Answer{}, failed("delete", path, err)
	}
	return guest.Text("Deleted " + path), nil
}

// moveFile renames. A file that is there is replaced; a directory that is there
// and not empty is not, and nothing is moved into it.
func moveFile(ctx context.Context, in tool.MoveFileIn) (guest.Answer, error) {
	from, err := absolute(in.Source)
	if err != nil {
		return guest.Answer{}, err
	}
	to, err := absolute(in.Destination)
	if err != nil {
		return guest.Answer{}, err
	}
	err = os.Rename(from, to)
	if errors.Is(err, syscall.EXDEV) {
		err = moveAcross(ctx, from, to)
	}
	if err != nil {
		if _, missing := os.Lstat(from); missing != nil {
			return guest.Answer{}, failed("move", from, missing)
		}
		return guest.Answer{}, failed("move "+brief(from)+" to", to, err)
	}
	return guest.Text("Moved " + from + " to " + to), nil
}

// openFile opens a regular file for reading. It does not wait for the other
// side of a named pipe, and does not begin to read what never ends.
func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, failed("read", path, err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		err = failed("read", path, err)
	case info.IsDir():
		err = failed("read", path, syscall.EISDIR)
	case !info.Mode().IsRegular():
		err = failed("read", path, errSpecial)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// errSpecial is the reason not to read devices, pipes and sockets.
var errSpecial = &fs.PathError{Err: errors.New("not a regular file")}
