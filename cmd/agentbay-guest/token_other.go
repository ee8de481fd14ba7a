//go:build !linux

package main

import (
	"fmt"
	"os"

	"github.com/agentbay/agentbay/internal/guest"
)

// brokenPipe is empty: elsewhere no signal tells of it.
var brokenPipe []os.Signal

// takeToken returns the secret and removes it from the environment.
func takeToken(int) (string, error) {
	token := os.Getenv(guest.TokenEnv)
	if token == "" {
		return "", fmt.Errorf("no secret: set %s", guest.TokenEnv)
	}
	return token, os.Unsetenv(guest.TokenEnv)
}
