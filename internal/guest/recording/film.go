package recording

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// maxBox bounds a box of the encoder's, which is about a second of video.
const maxBox = 64 << 20

// wideHead is the head of a box that may be longer than 4 GiB.
const wideHead = 16

// A film is a video on its way to the host.
type film struct {
	out *bufio.Writer
	max int64

	at    int64 // where the next box belongs
	body  int64 // where the head of the body belongs
	index index
}

// errFull is what take returns when there is no room for one more fragment.
var errFull = errors.New("the video is as long as it may be")

// shoot sends what the encoder makes until it ends.
func (f *film) shoot(encoded io.Reader) error {
	r := bufio.NewReaderSize(encoded, 256<<10)
	var moof []byte
	for {
		name, b, err := readBox(r)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch name {
		case "ftyp":
			err = f.begin(b)
		case "moov":
			f.index.moov = b
			err = f.put(b)
		case "moof":
			moof = b // it goes with its samples or not at all
		case "mdat":
			err = f.take(moof, b)
		}
		if err := errors.Join(err, f.out.Flush()); err != nil {
			return err
		}
	}
}

// readBox reads a box, its head included.
func readBox(r *bufio.Reader) (name string, b []byte, err error) {
	head, err := r.Peek(boxHead)
	if len(head) == 0 && err != nil {
		return "", nil, err
	}
	if err != nil {
		return "", nil, io.ErrUnexpectedEOF
	}
	n := be.Uint32(head)
	if n < boxHead || n > maxBox {
		return "", nil, fmt.Errorf("%w: a box of %d bytes", errOdd, n)
	}
	b, err = io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(b) < int(n) {
		err = io.ErrUnexpectedEOF // of a fragment that is not whole
	}
	if err != nil {
		return "", nil, err
	}
	return string(b[4:8]), b, nil
}

// begin sends the first box, and leaves room for the head of the body.
func (f *film) begin(ftyp []byte) error {
	if f.at != 0 {
		return errOdd
	}
	if err := f.put(ftyp); err != nil {
		return err
	}
	f.body = f.at
	return f.put(box(nil, "free", make([]byte, wideHead-boxHead)))
}

// take sends a fragment, if there will be room for the index after it.
func (f *film) take(moof, mdat []byte) error {
	if moof == nil || f.index.moov == nil {
		return errOdd
	}
	chunks, err := readFragment(moof, f.at)
	if err != nil {
		return err
	}
	needs := int64(len(moof)+len(mdat)) + f.index.size()
	for _, c := range chunks {
		needs += c.cost()
	}
	if needs > f.max-f.at {
		return errFull
	}
	for _, c := range chunks {
		f.index.add(c)
	}
	return errors.Join(f.put(moof), f.put(mdat))
}

func (f *film) put(b []byte) error {
	at := f.at
	f.at += int64(len(b))
	return Send(f.out, at, b)
}

// finish sends the index, and then what makes it count.
func (f *film) finish() error {
	if len(f.index.sizes) == 0 {
		return nil // there is nothing to see
	}
	moov, err := f.index.finished()
	if err != nil {
		return err
	}
	end := f.at
	if err := f.put(moov); err != nil {
		return err
	}
	head := append(numbers(1), "mdat"...)
	return Send(f.out, f.body, be.AppendUint64(head, uint64(end-f.body)))
}
