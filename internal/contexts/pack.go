package contexts

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
)

// packSize is where a pack is full; a variable so that tests can have small
// ones. A pack can be longer by what is added at once.
var packSize int64 = 16 << 20

// A packer puts chunks together into a blob:
//
//	the chunks as they are stored, one after the other
//	the directory: a number of chunks; for each its ID, its length here and its size
//	the footer: the directory's SHA-256, its length in four bytes, packMagic
//
// Reading needs the index only. The directory is there to make a new one.
type packer struct {
	parts  []part // the last one grows, if it is its own
	size   int64
	chunks []Chunk // without the Pack's name
}

// A part of a pack is memory that is held for it.
type part struct {
	b   []byte
	buf *buffer
	own bool // the buffer is for this pack only
}

const (
	packMagic  = "bayPACK1"
	footerSize = sha256.Size + 4 + len(packMagic)

	partSize = 256 << 10 // small chunks are copied together
	partOwn  = 64 << 10  // large ones are held where they are
)

// A packedPiece is a chunk as it is stored.
type packedPiece struct {
	id   ID
	size int64
	form byte
	data []byte
	buf  *buffer // has data, or is nil
}

// add appends a chunk.
func (p *packer) add(c packedPiece) {
	at := Location{Offset: p.size, Stored: int64(len(c.data) + 1), Size: c.size}
	p.chunks = append(p.chunks, Chunk{c.id, at})
	if c.buf == nil || len(c.data) < partOwn {
		p.append(c.form, c.data)
		return
	}
	p.append(c.form, nil)
	p.parts = append(p.parts, part{b: c.data, buf: c.buf.hold()})
	p.size += int64(len(c.data))
}

// append copies bytes to the end of the pack.
func (p *packer) append(first byte, more []byte) {
	p.size += int64(len(more) + 1)
	n := len(p.parts) - 1
	if n < 0 || !p.parts[n].own || len(p.parts[n].b)+len(more)+1 > cap(p.parts[n].b) {
		buf := newBuffer(max(partSize, len(more)+1))
		p.parts = append(p.parts, part{buf.b[:0], buf, true})
		n++
	}
	p.parts[n].b = append(append(p.parts[n].b, first), more...)
}

// free lets go of the memory.
func (p *packer) free() {
	for _, part := range p.parts {
		part.buf.free()
	}
	*p = packer{}
}

// finish returns the blob, and the pack that it is.
func (p *packer) finish(prefix string) (Pack, io.ReadSeeker) {
	var name [16]byte
	rand.Read(name[:])
	k := Pack{Name: prefix + hex.EncodeToString(name[:1]) + "/" + hex.EncodeToString(name[:]), Used: p.size}
	for i := range p.chunks {
		p.chunks[i].Pack = k.Name
	}
	directory := appendDirectory(nil, p.chunks)
	k.Size = p.size + int64(len(directory))
	blob := &scattered{size: k.Size}
	for _, part := range p.parts {
		blob.parts = append(blob.parts, part.b)
	}
	blob.parts = append(blob.parts, directory)
	return k, blob
}

// scattered reads what is in several places. It can seek, so that a blob can be
// put again.
type scattered struct {
	parts [][]byte
	size  int64
	part  int // where Read goes on,
	in    int // and where in that part
	at    int64
}

// Read implements io.Reader.
func (s *scattered) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && s.part < len(s.parts) {
		k := copy(p[n:], s.parts[s.part][s.in:])
		n += k
		if s.in += k; s.in == len(s.parts[s.part]) {
			s.part, s.in = s.part+1, 0
		}
	}
	s.at += int64(n)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Seek implements io.Seeker.
func (s *scattered) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 || offset > s.size {
		return 0, errors.New("seek out of a pack")
	}
	s.part, s.in, s.at = 0, 0, offset
	for s.part < len(s.parts) && offset >= int64(len(s.parts[s.part])) {
		offset -= int64(len(s.parts[s.part]))
		s.part++
	}
	s.in = int(offset)
	return s.at, nil
}

func appendDirectory(b []byte, chunks []Chunk) []byte {
	start := len(b)
	b = binary.AppendUvarint(b, uint64(len(chunks)))
	for _, c := range chunks {
		b = append(b, c.ID[:]...)
		b = binary.AppendUvarint(b, uint64(c.Stored))
		b = binary.AppendUvarint(b, uint64(c.Size))
	}
	sum := sha256.Sum256(b[start:])
	n := len(b) - start
	b = append(b, sum[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	return append(b, packMagic...)
}

var errNoPack = errors.New("this is not a pack, or not a whole one")

// parseFooter returns how long the directory before the footer is, and its sum.
func parseFooter(footer []byte) (n int64, sum [sha256.Size]byte, err error) {
	if len(footer) != footerSize || string(footer[sha256.Size+4:]) != packMagic {
		return 0, sum, errNoPack
	}
	copy(sum[:], footer)
	return int64(binary.LittleEndian.Uint32(footer[sha256.Size:])), sum, nil
}

// parseDirectory reads the directory of a pack whose chunks take space bytes.
func parseDirectory(dir []byte, sum [sha256.Size]byte, space int64) ([]Chunk, error) {
	if sha256.Sum256(dir) != sum {
		return nil, errNoPack
	}
	d := &decoding{b: dir}
	n := d.count(len(ID{}) + 2)
	chunks := make([]Chunk, 0, n)
	offset := int64(0)
	for range n {
		c := Chunk{ID: d.id(), Location: Location{Offset: offset, Stored: d.number(maxPiece + 1), Size: d.number(maxPiece)}}
		offset += c.Stored
		chunks = append(chunks, c)
	}
	if d.end() != nil || offset != space {
		return nil, errNoPack
	}
	return chunks, nil
}
