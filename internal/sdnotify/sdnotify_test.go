package sdnotify_test

import (
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/multiprolab/multiprolab/internal/sdnotify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setenv sets the service manager's three variables, and sees to their removal after the test. A
// nil value is left unset.
func setenv(t *testing.T, socket, usec, pid *string) {
	t.Helper()
	for name, value := range map[string]*string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid} {
		t.Setenv(name, "") // for the restoration at the end
		var err error
		if value == nil {
			err = os.Unsetenv(name)
		} else {
			err = os.Setenv(name, *value)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func requireUnset(t *testing.T) {
	t.Helper()
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		if value, ok := os.LookupEnv(name); ok {
			t.Errorf("%s=%q is still in the environment", name, value)
		}
	}
}

func TestFromEnvRefuses(t *testing.T) {
	tests := map[string]*string{
		"unset":         nil,
		"empty":         new(""),
		"relative path": new("run/notify"),
		"dot":           new("./notify"),
		"bare @":        new("@"),
		"vsock":         new("vsock:2:1234"),
		"vsock-stream":  new("vsock-stream:2:1234"),
		"vsock-dgram":   new("vsock-dgram:2:1234"),
		"leading space": new(" /run/systemd/notify"),
		"URL":           new("unix:///run/systemd/notify"),
	}
	for name, socket := range tests {
		t.Run(name, func(t *testing.T) {
			setenv(t, socket, new("2000000"), new(strconv.Itoa(os.Getpid())))
			if n := sdnotify.FromEnv(); n != nil {
				t.Errorf("FromEnv() = %+v, want nil", n)
			}
			requireUnset(t)
		})
	}
}

func TestNilNotifier(t *testing.T) {
	var n *sdnotify.Notifier
	for name, err := range map[string]error{
		"Ready":     n.Ready(),
		"Stopping":  n.Stopping(),
		"Reloading": n.Reloading(),
		"Watchdog":  n.Watchdog(),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d := n.WatchdogInterval(); d != 0 {
		t.Errorf("WatchdogInterval() = %v, want 0", d)
	}
}
