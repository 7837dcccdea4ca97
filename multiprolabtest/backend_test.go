package multiprolabtest_test

import (
	"testing"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/multiprolabtest"
)

func TestMemoryBackend(t *testing.T) {
	multiprolabtest.TestBackend(t, func(*testing.T) multiprolab.Backend { return multiprolab.NewMemoryBackend() })
}
