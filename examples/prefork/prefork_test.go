package main

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// server is what the binary is built of, so that a cached result of these tests ends with a change
// of it: the linker leaves out what no test can reach.
var server = main

// Under load, no request fails of ten rolling restarts, and none is refused of ten kills: at most
// those fail that the killed workers had accepted.
func TestAttack(t *testing.T) {
	if server == nil {
		t.Fatal("no program")
	}
	exe := filepath.Join(t.TempDir(), "prefork.exe")
	if out, err := exec.Command("go", "build", "-o", exe, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(exe, "-attack", "-addr", "127.0.0.1:0", "-rate", "200").CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`(?m)^10 rolling restarts +\d{2,} +0 +0 `,
		`(?m)^10 × kill -9 +\d{2,} +\d{1,2} +0 `,
	} {
		if !regexp.MustCompile(line).Match(out) {
			t.Errorf("no line %s", line)
		}
	}
}
