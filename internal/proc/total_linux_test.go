package proc

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What a process may use is known on Linux, and no more than there is.
func TestMemory(t *testing.T) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	if n, all := Memory(), int64(info.Totalram)*int64(info.Unit); n <= 0 || n > all {
		t.Errorf("%d of %d bytes may be used", n, all)
	}
}
