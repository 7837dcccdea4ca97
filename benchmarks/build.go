//go:build !solo

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/multiprolab/multiprolab/internal/ablate"
)

// solos are the solo programs that have been built in this run; see solo.go.
var solos struct {
	mu    sync.Mutex // guards the others
	dir   string
	built map[string]string // path by tag
}

// buildSolo builds the solo program of a peer with the go command, once.
func buildSolo(tag string) (string, error) {
	solos.mu.Lock()
	defer solos.mu.Unlock()
	if path := solos.built[tag]; path != "" {
		return path, nil
	}
	_, source, _, _ := runtime.Caller(0)
	if _, err := os.Stat(source); err != nil {
		return "", fmt.Errorf(
			"%w: the source of this program is not here to build the peer's own binary from",
			errAbsent,
		)
	}
	command, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("%w: the go command is not here to build the peer's own binary", errAbsent)
	}
	if solos.dir == "" {
		if solos.dir, err = os.MkdirTemp("", "multiprolab-bench-"); err != nil {
			return "", err
		}
		solos.built = map[string]string{}
	}
	path := filepath.Join(solos.dir, tag)
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	tags := "solo," + tag
	if ablate.Built {
		tags += ",ablate"
	}
	cmd := exec.Command(command, "build", "-tags", tags, "-o", path, ".")
	cmd.Dir = filepath.Dir(source)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build -tags %s: %w\n%s", tags, err, out)
	}
	solos.built[tag] = path
	return path, nil
}

// removeSolos removes the programs.
func removeSolos() error {
	solos.mu.Lock()
	defer solos.mu.Unlock()
	dir := solos.dir
	solos.dir, solos.built = "", nil
	if dir == "" {
		return nil
	}
	return os.RemoveAll(dir)
}
