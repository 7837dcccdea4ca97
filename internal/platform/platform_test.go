package platform_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func build(t *testing.T, system string) (said string, err error) {
	goos, goarch, _ := strings.Cut(system, "/")
	c := exec.Command("go", "build", ".")
	c.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=")
	out, err := c.CombinedOutput()
	return string(out), err
}

// The compiler says where multiprolab runs, and nothing else. What .ci/run builds there is all of
// the module.
func TestUnsupportedSystems(t *testing.T) {
	for _, system := range []string{"solaris/amd64", "illumos/amd64", "aix/ppc64", "js/wasm", "wasip1/wasm", "plan9/amd64", "ios/arm64"} {
		t.Run(system, func(t *testing.T) {
			said, err := build(t, system)
			require.Error(t, err)
			lines := strings.Split(strings.TrimSpace(said), "\n")
			require.Len(t, lines, 2, "%s", said) // the first names the package
			require.Contains(
				t,
				lines[1],
				"multiprolab does not support this system: it runs on Linux, macOS, Windows, FreeBSD, OpenBSD, NetBSD and DragonFly BSD",
			)
		})
	}
}

func TestSupportedSystems(t *testing.T) {
	for _, system := range []string{"linux/amd64", "linux/386", "android/arm64", "darwin/arm64", "windows/amd64", "freebsd/amd64", "openbsd/amd64", "netbsd/amd64",
		"dragonfly/amd64"} {
		said, err := build(t, system)
		require.NoError(t, err, "%s: %s", system, said)
	}
}

// The packages that ask a system for what some have not import this package: without it, the
// compiler would say what these lack, beside where multiprolab runs or instead of it.
func TestWhoNeedsASystemImportsIt(t *testing.T) {
	for _, name := range []string{"errpack", "proc", "shared", "sockets", "upgrade"} {
		c := exec.Command("go", "list", "-deps", "../"+name)
		c.Env = append(os.Environ(), "GOOS=solaris", "GOARCH=amd64", "CGO_ENABLED=0")
		out, err := c.Output()
		require.NoError(t, err)
		require.Contains(t, string(out), "github.com/multiprolab/multiprolab/internal/platform\n", name)
	}
}
