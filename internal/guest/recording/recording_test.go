package recording

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clip is five seconds that FFmpeg made as [x11.Encoder] asks for, 64×48 pixels at
// 10 frames a second, with a whole picture every two seconds.
func clip(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/clip.mp4")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A memory is a file in memory.
type memory struct{ b []byte }

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if need := int(at) + len(p); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[at:], p), nil
}

func ignore(int) error { return nil }

// filmed is what the host has of a video that is at most max long.
func filmed(t *testing.T, encoded []byte, max int64) (file []byte, shot error) {
	t.Helper()
	var line bytes.Buffer
	f := &film{out: bufio.NewWriter(&line), max: max}
	shot = f.shoot(bytes.NewReader(encoded))
	must(t, f.finish())
	must(t, End(f.out, Outcome{Reason: Stopped}))
	must(t, f.out.Flush())
	var m memory
	o, err := Receive(&line, &m, max, ignore)
	if err != nil || o.Reason != Stopped {
		t.Fatalf("received %+v, %v", o, err)
	}
	return m.b, shot
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// boxes returns the boxes in b by name, those of one name together.
func boxes(t *testing.T, b []byte) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for len(b) > 0 {
		n, head := uint64(be.Uint32(b)), boxHead
		if n == 1 {
			n, head = be.Uint64(b[8:]), wideHead
		}
		if n < uint64(head) || n > uint64(len(b)) {
			t.Fatalf("box %q of %d bytes in %d", b[4:8], n, len(b))
		}
		found[string(b[4:8])] = append(found[string(b[4:8])], b[head:n]...)
		b = b[n:]
	}
	return found
}

// table reads the numbers of a sample table, behind its count.
func table(t *testing.T, b []byte, heads int) (all []uint32) {
	t.Helper()
	for _, b := range slices.Collect(slices.Chunk(b[4*heads:], 4)) {
		all = append(all, be.Uint32(b))
	}
	return all
}

func TestAFinishedVideoIsAnOrdinaryOne(t *testing.T) {
	encoded := clip(t)
	file, err := filmed(t, encoded, 1<<20)
	must(t, err)
	top := boxes(t, file)
	if len(top) != 3 || top["ftyp"] == nil || top["mdat"] == nil || top["moov"] == nil {
		t.Fatalf("it has %d kinds of boxes, want a type, a body and an index", len(top))
	}
	trak := boxes(t, boxes(t, top["moov"])["trak"])
	stbl := boxes(t, boxes(t, boxes(t, trak["mdia"])["minf"])["stbl"])
	sizes := table(t, stbl["stsz"], 3)
	if len(sizes) != 50 {
		t.Errorf("it has %d pictures, want 50", len(sizes))
	}
	if whole := table(t, stbl["stss"], 2); !slices.Equal(whole, []uint32{1, 21, 41}) {
		t.Errorf("pictures that need none before them: %d", whole)
	}
	if tts := table(t, stbl["stts"], 2); !slices.Equal(tts, []uint32{50, 1024}) { // at 10,240 a second
		t.Errorf("when pictures are shown: %d", tts)
	}
	// Every picture is where the index says: the encoder's own samples, in their order.
	var want []byte
	for name, b := range eachTop(t, encoded) {
		if name == "mdat" {
			want = append(want, b[boxHead:]...)
		}
	}
	var got []byte
	chunks := table(t, stbl["co64"], 2)
	perChunk := table(t, stbl["stsc"], 2)
	next := 0
	for i := 0; i < len(chunks); i += 2 {
		at := int(chunks[i+1])
		for range samplesIn(perChunk, i/2+1) {
			got = append(got, file[at:at+int(sizes[next])]...)
			at += int(sizes[next])
			next++
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the index leads to %d bytes, want the %d of the encoder", len(got), len(want))
	}
	if ms := be.Uint32(boxes(t, top["moov"])["mvhd"][16:]); ms != 5000 {
		t.Errorf("it lasts %d ms, want 5000", ms)
	}
}

// samplesIn looks up how many samples a chunk has.
func samplesIn(runs []uint32, chunk int) (n int) {
	for r := range slices.Chunk(runs, 3) {
		if int(r[0]) <= chunk {
			n = int(r[1])
		}
	}
	return n
}

func eachTop(t *testing.T, b []byte) func(func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		must(t, eachBox(b, func(name string, b []byte) error {
			if !yield(name, b) {
				return errors.New("enough")
			}
			return nil
		}))
	}
}

func TestAVideoThatBrokeOffIsFragments(t *testing.T) {
	encoded := clip(t)
	var line bytes.Buffer
	f := &film{out: bufio.NewWriter(&line), max: 1 << 20}
	if err := f.shoot(bytes.NewReader(encoded[:len(encoded)*2/3])); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the encoder died: %v", err)
	}
	var m memory
	if _, err := Receive(&line, &m, 1<<20, ignore); err != io.EOF {
		t.Errorf("receiving: %v, want EOF", err)
	}
	top := boxes(t, m.b)
	if top["moof"] == nil || top["mdat"] == nil || top["free"] == nil {
		t.Errorf("it is no video in fragments: %d kinds of boxes", len(top))
	}
}

func TestAVideoEndsBeforeItIsTooLong(t *testing.T) {
	for _, max := range []int64{3000, 5000, 9000} {
		file, err := filmed(t, clip(t), max)
		if !errors.Is(err, errFull) {
			t.Errorf("at most %d bytes: %v, want that it is full", max, err)
		}
		if int64(len(file)) > max {
			t.Errorf("it is %d bytes long, and may be %d", len(file), max)
		}
		if max > 3000 && boxes(t, file)["moov"] == nil {
			t.Errorf("at most %d bytes: it has no index", max)
		}
	}
}

func TestNothingIsKeptBeyondWhatMayBe(t *testing.T) {
	piece := func(at int64, n int) []byte {
		head := binary.BigEndian.AppendUint64(nil, uint64(at))
		return append(binary.BigEndian.AppendUint32(head, uint32(n)), make([]byte, min(n, maxPiece))...)
	}
	again := bytes.Repeat(piece(0, 100), 30)
	for name, sent := range map[string][]byte{
		"far":              piece(1<<40, 1),
		"across the end":   piece(950, 100),
		"before":           piece(-2, 1),
		"a large piece":    piece(0, 1<<31-1),
		"without end":      again,
		"no outcome":       piece(atEnd, 20),
		"a large outcome":  piece(atEnd, maxOutcome+1),
		"half a piece":     piece(0, 100)[:50],
		"half a head":      {0, 0},
		"nothing":          nil,
		"empty pieces":     piece(0, 0),
		"place overflowed": piece(1<<63-10, 100),
	} {
		var m memory
		o, err := Receive(bytes.NewReader(sent), &m, 1000, ignore)
		if err == nil {
			t.Errorf("%s: %+v, want an error", name, o)
		}
		if len(m.b) > 1000 {
			t.Errorf("%s: %d bytes were kept", name, len(m.b))
		}
	}
}

func TestWhoKeepsItMayEndIt(t *testing.T) {
	var line bytes.Buffer
	must(t, Send(&line, 0, []byte("video")))
	full := errors.New("no room")
	if _, err := Receive(&line, &memory{}, 1000, func(int) error { return full }); err != full {
		t.Errorf("%v, want %v", err, full)
	}
}

// TestMain lets the test program be an encoder: it writes the clip, and then
// either waits to be interrupted or goes on with it for ever.
func TestMain(m *testing.M) {
	how := os.Getenv("RECORDING_TEST_ENCODER")
	if how == "" {
		os.Exit(m.Run())
	}
	encode(how)
}

// start records with an encoder, and returns the host's end of the line.
func start(t *testing.T, how string, q Request) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	r := &Recorder{Encoder: func(int) (argv, env []string) {
		return []string{os.Args[0]}, append(os.Environ(), "RECORDING_TEST_ENCODER="+how)
	}}
	go func() { served <- r.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	conn, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	must(t, Ask(conn, q))
	return conn
}

func TestARecordingEndsWhenAsked(t *testing.T) {
	conn := start(t, "wait", Request{FrameRate: 10, MaxBytes: 1 << 20})
	var m memory
	o, err := Receive(conn, &m, 1<<20, func(int) error {
		if bytes.Count(m.b, []byte("moof")) == 3 {
			return Enough(conn)
		}
		return nil
	})
	if err != nil || o.Reason != Stopped {
		t.Fatalf("%+v, %v", o, err)
	}
	if top := boxes(t, m.b); top["moov"] == nil || top["moof"] != nil {
		t.Error("the video is not complete")
	}
}

func TestARecordingEndsWhenItIsFull(t *testing.T) {
	conn := start(t, "go on", Request{FrameRate: 10, MaxBytes: 30000})
	var m memory
	o, err := Receive(conn, &m, 30000, ignore)
	if err != nil || o.Reason != Full {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestAnEncoderThatDiesIsTold(t *testing.T) {
	conn := start(t, "die", Request{FrameRate: 10, MaxBytes: 1 << 20})
	var m memory
	o, err := Receive(conn, &m, 1<<20, ignore)
	if err != nil || o.Reason != Failed || !strings.Contains(o.Error, "no such display") {
		t.Errorf("%+v, %v", o, err)
	}
	if boxes(t, m.b)["moov"] == nil {
		t.Error("what there was is not complete")
	}
}

func TestWhatIsNoRequestIsRefused(t *testing.T) {
	for _, q := range []Request{{}, {FrameRate: 10}, {FrameRate: -1, MaxBytes: 100}} {
		conn := start(t, "wait", q)
		if o, err := Receive(conn, &memory{}, 1000, ignore); err != nil || o.Reason != Failed {
			t.Errorf("%+v: %+v, %v", q, o, err)
		}
	}
}

func TestNoEncoderOutlivesItsHost(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	t.Setenv("RECORDING_TEST_PID", pidFile)
	conn := start(t, "wait", Request{FrameRate: 10, MaxBytes: 1 << 20})
	if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	pid, err := os.ReadFile(pidFile)
	must(t, err)
	conn.Close()
	// The end of a process can be waited for by its parent only; tail watches others.
	must(t, exec.CommandContext(t.Context(), "tail", "--pid="+string(pid), "-f", "/dev/null").Run())
}

func FuzzFilm(f *testing.F) {
	f.Add(clip(f))
	f.Add(clip(f)[:3000])
	f.Fuzz(func(t *testing.T, encoded []byte) {
		const max = 1 << 16
		var line bytes.Buffer
		film := &film{out: bufio.NewWriter(&line), max: max}
		film.shoot(bytes.NewReader(encoded))
		film.finish()
		film.out.Flush()
		var m memory
		if _, err := Receive(&line, &m, max, ignore); errors.Is(err, errNonsense) {
			t.Errorf("more was sent than may be: %v", err)
		}
	})
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02xy\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x14{\"reason\":\"stopped\"}"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		var m memory
		Receive(bytes.NewReader(sent), &m, 1000, ignore)
		if len(m.b) > 1000 {
			t.Errorf("%d bytes were kept", len(m.b))
		}
	})
}
