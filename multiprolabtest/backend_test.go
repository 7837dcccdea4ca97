package multiprolabtest_test

import (
	"testing"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/multiprolabtest"
)

func TestMemoryBackend(t *testing.T) {
	multiprolabtest.TestBackend(t, func(*testing.T) backend.Backend { return backend.NewMemory() })
}
