package contexts

import "testing"

// SmallPages has pages end after a few entries until the test is over.
func SmallPages(t *testing.T) {
	aim, rows := pageAim, pageRows
	t.Cleanup(func() { pageAim, pageRows = aim, rows })
	pageAim, pageRows = 150, 5
}

// SmallPacks has packs be full soon until the test is over.
func SmallPacks(t *testing.T) {
	size := packSize
	t.Cleanup(func() { packSize = size })
	packSize = 100_000
}
