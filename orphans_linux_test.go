package multiprolab_test

import "testing"

// TestD01_BeforeRun: a worker that hangs before Run dies with main. Only Linux tells it of main's
// death there.
func TestD01_BeforeRun(t *testing.T) { testUnready(t, beforeRun+"=hang") }
