//go:build !linux

package main

// runMounts does nothing: elsewhere there is nothing to mount.
func runMounts([]string) {}
