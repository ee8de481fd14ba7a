package files

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

// modes are the ways to write a file. None of them replaces the file by another
// one: it keeps its mode, owner and links, and who watches sees one change.
var modes = map[string]int{
	"":           os.O_TRUNC,
	"overwrite":  os.O_TRUNC,
	"append":     os.O_APPEND,
	"create_new": os.O_EXCL,
}

func writeFile(_ context.Context, in tool.WriteFileIn) (guest.Answer, error) {
	path, err := absolute(in.Path)
	if err != nil {
		return guest.Answer{}, err
	}
	mode, ok := modes[in.Mode]
	if !ok {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "mode is %s; it must be overwrite, append or create_new", brief(in.Mode))
	}
	content, err := contentOf(in)
	if err != nil {
		return guest.Answer{}, err
	}
	if in.CreateParents == nil || *in.CreateParents {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return guest.Answer{}, failed("write", path, err)
		}
	}
	n, err := write(path, mode, content)
	if err != nil {
		return guest.Answer{}, failed("write", path, err)
	}
	return guest.Text(fmt.Sprintf("Wrote %d bytes to %s", n, path)), nil
}

// contentOf is what to write, known to be sound before a file is touched.
func contentOf(in tool.WriteFileIn) (io.WriterTo, error) {
	binary, err := isBinary(in.Format)
	if err != nil || !binary {
		return strings.NewReader(in.Content), err
	}
	content := decoded(in.Content)
	if _, err := content.WriteTo(io.Discard); err != nil {
		return nil, guest.Failf(guest.BadArgument, "the content is not base64: %v", err)
	}
	return content, nil
}

// write writes a file. It does not wait for the reader of a named pipe.
func write(path string, mode int, content io.WriterTo) (n int64, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|nonblock|mode, 0o644)
	if err != nil {
		return 0, err
	}
	n, err = content.WriteTo(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return n, err
}

func editFile(_ context.Context, in tool.EditFileIn) (guest.Answer, error) {
	path, err := absolute(in.Path)
	if err != nil {
		return guest.Answer{}, err
	}
	text, err := readAll(path)
	if err != nil {
		return guest.Answer{}, err
	}
	edited, err := apply(text, in.Edits)
	if err != nil {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "%s is unchanged: %v", brief(path), err)
	}
	if in.DryRun || in.DryRun2 {
		return guest.Text(fmt.Sprintf("%d edits would apply to %s", len(in.Edits), path)), nil
	}
	if _, err := write(path, os.O_TRUNC, bytes.NewReader(edited)); err != nil {
		return guest.Answer{}, failed("write", path, err)
	}
	return guest.Text(fmt.Sprintf("Applied %d edits to %s", len(in.Edits), path)), nil
}

// maxEdited is the longest file that is edited, which is done in memory.
const maxEdited = 256 << 20

func readAll(path string) ([]byte, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxEdited+1))
	if err != nil {
		return nil, failed("read", path, err)
	}
	if len(text) > maxEdited {
		return nil, guest.Failf(guest.BadArgument, "%s is longer than %d bytes; edit it with a command", brief(path), maxEdited)
	}
	return text, nil
}

// apply makes all edits, each at the first place where its old text is then.
func apply(text []byte, edits []tool.Edit) ([]byte, error) {
	for i, e := range edits {
		if e.OldText == "" {
			return nil, fmt.Errorf("edit %d has no oldText", i+1)
		}
		before, after, found := bytes.Cut(text, []byte(e.OldText))
		if !found {
			return nil, fmt.Errorf("edit %d: oldText %s is not in it", i+1, brief(e.OldText))
		}
		text = joined(before, e.NewText, after)
	}
	return text, nil
}

// joined joins the parts of an edited text.
func joined(before []byte, middle string, after []byte) []byte {
	text := make([]byte, 0, len(before)+len(middle)+len(after))
	return append(append(append(text, before...), middle...), after...)
}
