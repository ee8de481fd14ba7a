package main

import (
	"runtime"
	"sync"
)

// spareThreads is how many threads the guest has from the beginning. When a
// command has used up the session's processes no thread can be made any more,
// and a Go program that needs one then dies.
const spareThreads = 12

// keepThreads makes the program have n threads; they are never given up.
func keepThreads(n int) {
	var there, done sync.WaitGroup
	there.Add(n)
	for range n {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			there.Done()
			there.Wait()
		})
	}
	done.Wait()
}
