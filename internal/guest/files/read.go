package files

import (
	"context"
	"io"
	"math"
	"os"
	"unicode/utf8"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/tool"
)

func readFile(_ context.Context, in tool.ReadFileIn) (guest.Answer, error) {
	path, err := absolute(in.Path)
	if err != nil {
		return guest.Answer{}, err
	}
	if in.Offset < 0 || in.Length < 0 {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "offset and length must not be negative")
	}
	binary, err := isBinary(in.Format)
	if err != nil {
		return guest.Answer{}, err
	}
	f, err := openFile(path)
	if err != nil {
		return guest.Answer{}, err
	}
	w := window{in.Offset, end(in.Offset, in.Length)}
	return guest.Stream(func(out io.Writer) error {
		defer f.Close()
		if binary {
			return sendBase64(out, w.reader(f))
		}
		return w.writeText(out, f)
	}), nil
}

// isBinary reads the format of a file's content in a call.
func isBinary(format string) (bool, error) {
	switch format {
	case "", "text":
		return false, nil
	case "binary":
		return true, nil
	}
	return false, guest.Failf(guest.BadArgument, "format is %s; it must be text or binary", brief(format))
}

// A window is a part of a file, from one byte up to another.
type window struct{ from, to int64 }

// end is where a window of a length ends; length 0 means with the file.
func end(offset, length int64) int64 {
	if length == 0 || offset > math.MaxInt64-length {
		return math.MaxInt64
	}
	return offset + length
}

func (w window) reader(f io.ReaderAt) io.Reader {
	return io.NewSectionReader(f, w.from, w.to-w.from)
}

// writeText writes the characters whose first byte is in the window.
func (w window) writeText(out io.Writer, f *os.File) error {
	whole := window{characterAt(f, w.from), characterAt(f, w.to)}
	_, err := io.Copy(out, guest.ValidUTF8(whole.reader(f)))
	return err
}

// characterAt is where the first character begins that begins at a position or
// after it. Bytes that are not UTF-8 are characters of their own. It depends
// only on the bytes around the position, so windows that meet agree about it.
func characterAt(f io.ReaderAt, at int64) int64 {
	if at == 0 || at == math.MaxInt64 {
		return at
	}
	var around [2 * (utf8.UTFMax - 1)]byte
	before := min(at, utf8.UTFMax-1)
	n, _ := f.ReadAt(around[:], at-before)
	for back := int64(1); back <= before; back++ {
		start := before - back
		if start >= int64(n) {
			continue
		}
		if _, size := utf8.DecodeRune(around[start:n]); int64(size) > back {
			return at - back + int64(size)
		}
	}
	return at
}

// readFiles answers with the files it can read. One it cannot is answered for
// in its place; only if none can be read is the call a failure.
func readFiles(ctx context.Context, in tool.ReadFilesIn) (guest.Answer, error) {
	if len(in.Paths) == 0 {
		return guest.Answer{}, guest.Failf(guest.BadArgument, "paths is empty")
	}
	if err := noneReadable(in.Paths); err != nil {
		return guest.Answer{}, err
	}
	return guest.Stream(func(out io.Writer) error {
		for i, path := range in.Paths {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := writeSection(out, path, i > 0); err != nil {
				return err
			}
		}
		return nil
	}), nil
}

// noneReadable is why the last file cannot be read, if no file can.
func noneReadable(paths []string) (err error) {
	for _, path := range paths {
		var f *os.File
		if f, err = openPath(path); err == nil {
			return f.Close()
		}
	}
	return err
}

func openPath(path string) (*os.File, error) {
	path, err := absolute(path)
	if err != nil {
		return nil, err
	}
	return openFile(path)
}

// writeSection writes one file of several.
func writeSection(out io.Writer, path string, divide bool) error {
	head := oneLine(path) + ":\n"
	if divide {
		head = "\n---\n" + head
	}
	if _, err := io.WriteString(out, head); err != nil {
		return err
	}
	f, err := openPath(path)
	if err != nil {
		_, err = io.WriteString(out, err.Error())
		return err
	}
	defer f.Close()
	_, err = io.Copy(out, guest.ValidUTF8(f))
	return err
}
