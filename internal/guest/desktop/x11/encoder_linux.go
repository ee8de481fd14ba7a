package x11

import "strconv"

// keyEvery is how many seconds of a recording may have to be decoded to show one
// moment of it. The first picture of them is a whole one, and most of what a
// still screen costs.
const keyEvery = 20

// Encoder is the command line of a program that records a display at some frames
// a second: FFmpeg, which writes H.264 in fragments of a second to its standard
// output until it is interrupted. What changes much is coarse rather than large:
// a second takes 750 kB at most, on average.
func Encoder(display string, frameRate int) []string {
	rate := strconv.Itoa(frameRate)
	return []string{
		"ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error",
		"-f", "x11grab", "-framerate", rate, "-draw_mouse", "1", "-i", display,
		"-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", // H.264 with half the colours wants even sizes
		"-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency", "-crf", "26", "-maxrate", "6M", "-bufsize", "12M",
		"-pix_fmt", "yuv420p", "-g", strconv.Itoa(keyEvery * frameRate),
		"-f", "mp4", "-movflags", "+empty_moov+default_base_moof", "-frag_duration", "1000000", "-flush_packets", "1", "pipe:1",
	}
}
