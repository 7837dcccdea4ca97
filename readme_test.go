package multiprolab_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadme compiles every Go block of the README: a block with a package clause as it is, any other as the body of a function that has
// what the complete program has.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	require.Greater(t, len(blocks), 8)

	root, err := os.Getwd()
	require.NoError(t, err)
	dir := t.TempDir()
	write := func(name, content string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		mod := strings.Replace(string(content), "module github.com/multiprolab/multiprolab", "module readme", 1)
		if name == "go.mod" {
			mod += fmt.Sprintf("\nrequire github.com/multiprolab/multiprolab v0.0.0\nreplace github.com/multiprolab/multiprolab => %s\n", filepath.ToSlash(root))
		}
		write(name, mod)
	}
	for i, b := range blocks {
		code := b[1]
		if !strings.HasPrefix(code, "package ") {
			code = fragment(code)
		}
		write(fmt.Sprintf("block%02d/block.go", i), code)
	}
	build := exec.Command("go", "vet", "-mod=mod", "./...")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// fragment makes a package of a few lines.
func fragment(code string) string {
	var imports []string
	for name, path := range map[string]string{"context": "context", "fmt": "fmt", "log": "log", "http": "net/http", "slices": "slices", "time": "time",
		"multiprolab": "github.com/multiprolab/multiprolab"} {
		if name == "context" || name == "multiprolab" || strings.Contains(code, name+".") {
			imports = append(imports, fmt.Sprintf("import %q\n", path))
		}
	}
	params := "ctx context.Context, app *multiprolab.Main, w *multiprolab.Worker, parser func(context.Context, *multiprolab.Worker) error"
	var uses string
	for _, name := range []string{"n", "err", "future", "app"} {
		if regexp.MustCompile(`(?m)^(\w+, )*` + name + `(, \w+)* :=`).MatchString(code) {
			uses += "_ = " + name + "\n"
		}
	}
	if strings.Contains(code, "app := ") {
		params = "ctx context.Context, w *multiprolab.Worker"
	}
	return "package block\n\n" + strings.Join(imports, "") + "\nfunc _(" + params + ") {\n" + code + uses + "}\n"
}
