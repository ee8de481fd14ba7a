// Package contextstest is what it means to be an index of chunks, and an index
// in memory for tests.
package contextstest
