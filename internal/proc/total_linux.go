package proc

import (
	"bytes"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroupRoot is where the control groups of version 2 are mounted (cgroups(7)).
const cgroupRoot = "/sys/fs/cgroup"

// Memory returns how many bytes of memory this process may use: the memory of the machine or, if
// that is less, what the control groups of the process allow (memory.max). It returns 0 if the
// system does not say. Main calls it.
func Memory() int64 {
	least := int64(0)
	note := func(n int64) {
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		note(int64(info.Totalram) * int64(info.Unit))
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return least
	}
	for line := range bytes.Lines(groups) {
		group, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "0::")
		for ; ok; group = path.Dir(group) {
			text, _ := os.ReadFile(path.Join(cgroupRoot, group, "memory.max")) // the root has no such file
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
				note(n)
			}
			if group == "/" || group == "." || group == "" {
				break
			}
		}
	}
	return least
}
