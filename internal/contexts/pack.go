package contexts

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
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
	data   buffer
	chunks []Chunk // without the Pack's name
}

const (
	packMagic  = "bayPACK1"
	footerSize = sha256.Size + 4 + len(packMagic)
)

// add appends a chunk that is packed.
func (p *packer) add(id ID, size int64, form byte, data []byte) {
	at := Location{Offset: int64(len(p.data.b)), Stored: int64(len(data) + 1), Size: size}
	p.data.grow(len(data) + 1)
	p.data.b = append(append(p.data.b, form), data...)
	p.chunks = append(p.chunks, Chunk{id, at})
}

// join appends the chunks of another packer.
func (p *packer) join(o *packer) {
	start := int64(len(p.data.b))
	p.data.grow(len(o.data.b))
	p.data.b = append(p.data.b, o.data.b...)
	for _, c := range o.chunks {
		c.Offset += start
		p.chunks = append(p.chunks, c)
	}
}

// finish appends directory and footer, and names the pack.
func (p *packer) finish(prefix string) Pack {
	var name [16]byte
	rand.Read(name[:])
	k := Pack{Name: prefix + hex.EncodeToString(name[:1]) + "/" + hex.EncodeToString(name[:]), Used: int64(len(p.data.b))}
	for i := range p.chunks {
		p.chunks[i].Pack = k.Name
	}
	p.data.grow(footerSize + (len(p.chunks)+1)*(len(ID{})+2*binary.MaxVarintLen64))
	p.data.b = appendDirectory(p.data.b, p.chunks)
	k.Size = int64(len(p.data.b))
	return k
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
