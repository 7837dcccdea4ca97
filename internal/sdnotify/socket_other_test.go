//go:build !(darwin || dragonfly || freebsd || linux || openbsd)

package sdnotify_test

import (
	"testing"

	"github.com/multiprolab/multiprolab/internal/sdnotify"
)

func TestFromEnvUnsupported(t *testing.T) {
	setenv(t, new("/run/systemd/notify"), new("2000000"), nil)
	if n := sdnotify.FromEnv(); n != nil {
		t.Errorf("FromEnv() = %+v, want nil", n)
	}
	requireUnset(t)
}
