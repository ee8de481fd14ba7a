package recording

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
)

// encode is the test program as an encoder.
func encode(how string) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	if file := os.Getenv("RECORDING_TEST_PID"); file != "" {
		os.WriteFile(file, []byte(strconv.Itoa(os.Getpid())), 0o600)
	}
	clip, err := os.ReadFile("testdata/clip.mp4")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Stdout.Write(clip)
	switch how {
	case "die":
		fmt.Fprintln(os.Stderr, "no such display")
		os.Exit(1)
	case "go on":
		for {
			eachBox(clip, func(name string, b []byte) error {
				if name == "moof" || name == "mdat" {
					if _, err := os.Stdout.Write(b); err != nil {
						os.Exit(1)
					}
				}
				return nil
			})
		}
	}
	<-interrupted
}
