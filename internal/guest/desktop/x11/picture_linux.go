package x11

import (
	"context"

	"github.com/jezek/xgb/shm"
	"github.com/jezek/xgb/xproto"
	"golang.org/x/sys/unix"

	"github.com/agentbay/agentbay/internal/guest"
	"github.com/agentbay/agentbay/internal/guest/desktop"
)

// A shooter takes pictures through memory that is shared with the X server.
type shooter struct {
	busy  chan struct{} // holds a token while a picture is used
	able  bool          // the X server shares memory
	seg   shm.Seg
	bytes []byte // guarded by busy
}

func (h *shooter) open(s *Screen) {
	h.busy = make(chan struct{}, 1)
	h.able = shm.Init(s.x) == nil
}

// room makes the shared memory large enough.
func (h *shooter) room(s *Screen, size int) error {
	if len(h.bytes) >= size {
		return nil
	}
	if h.bytes != nil {
		shm.Detach(s.x, h.seg)
		unix.SysvShmDetach(h.bytes)
		h.bytes = nil
	}
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, size, unix.IPC_CREAT|0o600)
	if err != nil {
		return err
	}
	defer unix.SysvShmCtl(id, unix.IPC_RMID, nil) // it lives as long as it is attached
	b, err := unix.SysvShmAttach(id, 0, 0)
	if err != nil {
		return err
	}
	seg, err := shm.NewSegId(s.x)
	if err == nil {
		err = shm.AttachChecked(s.x, seg, uint32(id), false).Check()
	}
	if err != nil {
		unix.SysvShmDetach(b)
		return err
	}
	h.seg, h.bytes = seg, b
	return nil
}

// Picture implements desktop.Screen.
func (s *Screen) Picture(ctx context.Context, use func(desktop.Picture) error) error {
	h := &s.shots
	select {
	case h.busy <- struct{}{}:
		defer func() { <-h.busy }()
	case <-ctx.Done():
		return timedOut(ctx)
	}
	w, ht := s.Size()
	p := desktop.Picture{Width: w, Height: ht, Stride: 4 * w}
	var err error
	if h.able && h.room(s, p.Stride*ht) == nil {
		_, err = shm.GetImage(s.x, xproto.Drawable(s.root), 0, 0, uint16(w), uint16(ht), 1<<32-1, xproto.ImageFormatZPixmap, h.seg, 0).Reply()
		p.Pix = h.bytes
	} else {
		var r *xproto.GetImageReply
		r, err = xproto.GetImage(s.x, xproto.ImageFormatZPixmap, xproto.Drawable(s.root), 0, 0, uint16(w), uint16(ht), 1<<32-1).Reply()
		if err == nil {
			p.Pix = r.Data
		}
	}
	if err != nil {
		return s.failed(err, "the picture")
	}
	if len(p.Pix) < p.Stride*ht {
		return guest.Failf(guest.Unsuccessful, "the screen has no 32 bits a pixel")
	}
	return use(p)
}

// close lets the shared memory go, once nobody reads it.
func (h *shooter) close() {
	h.busy <- struct{}{}
	defer func() { <-h.busy }()
	if h.bytes != nil {
		unix.SysvShmDetach(h.bytes)
	}
	h.bytes, h.able = nil, false
}
