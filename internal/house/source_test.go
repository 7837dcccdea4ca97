// Not with the race detector, with which the source is the same.

//go:build !race

package house_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/link"
)

// posts are the methods whose error says that a frame was not sent.
var posts = []string{
	"Post",
	"PostLast",
	"postLocked",
	"putLocked",
	"tryWrite",
}

// TestNoErrorOfAPostIsDropped: who posts a frame looks at what becomes of it. (Link.Tell and
// Link.Answer do so for frames that fit by their making, and for outcomes.)
func TestNoErrorOfAPostIsDropped(t *testing.T) {
	for _, path := range ownPackages(t) { // whoever has a link can post
		dir := "." + strings.TrimPrefix(path, module)
		for _, place := range dropped(t, dir, posts) {
			t.Errorf("%s/%s: the error of a post is dropped", dir, place)
		}
	}
	got := droppedIn(
		t,
		"package p\nfunc f() {\n_ = l.Post(h, g)\nl.Post(h, g)\n_, _ = o.Post(p, h)\ngo l.Post(h, g)\n"+
			"defer l.PostLast(g)\nl, _ := o.Post(p, h)\nif err := l.Post(h, g); err != nil {}\nreturn l.Post(h, g)\n}",
		posts,
	)
	require.Len(t, got, 6, "the check itself finds less than it should")
	for _, method := range []string{"Post", "PostLast"} { // of a name that nothing has, nothing is found
		_, found := reflect.TypeFor[*link.Link]().MethodByName(method)
		require.True(t, found, method)
	}
}

// TestNumbersOfFramesHaveNames: what a frame carries beside an id, texts and a body is written and
// read under its name, with the functions and methods of internal/wire.
func TestNumbersOfFramesHaveNames(t *testing.T) {
	for _, path := range ownPackages(t) {
		h, found := loadHouse(t, path), 0
		for id, o := range h.info.Uses {
			field, ok := o.(*types.Var)
			if !ok || !field.IsField() || field.Pkg().Path() != module+"/internal/wire" ||
				field.Name() != "Number" && field.Name() != "More" {
				continue
			}
			if found++; path != module+"/internal/wire" {
				t.Errorf("%s: a number of a frame is used without its name", h.fset.Position(id.Pos()))
			}
		}
		if path == module+"/internal/wire" {
			require.NotZero(t, found, "the check itself finds nothing")
		}
	}
}

// dropped returns the places in the files of a folder, tests apart, at which the error of one of
// the methods is dropped.
func dropped(t *testing.T, dir string, methods []string) (places []string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			b, err := os.ReadFile(dir + "/" + name)
			require.NoError(t, err)
			for _, place := range droppedIn(t, string(b), methods) {
				places = append(places, name+place)
			}
		}
	}
	return places
}

// droppedIn is dropped for the text of one file.
func droppedIn(t *testing.T, text string, methods []string) (places []string) {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, "", text, parser.SkipObjectResolution)
	require.NoError(t, err)
	is := func(e ast.Expr) bool {
		call, ok := e.(*ast.CallExpr)
		if !ok {
			return false
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		return ok && slices.Contains(methods, method.Sel.Name)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		var bad bool
		switch n := n.(type) {
		case *ast.ExprStmt:
			bad = is(n.X)
		case *ast.GoStmt:
			bad = is(n.Call)
		case *ast.DeferStmt:
			bad = is(n.Call)
		case *ast.AssignStmt:
			last, _ := n.Lhs[len(n.Lhs)-1].(*ast.Ident)
			bad = len(n.Rhs) == 1 && is(n.Rhs[0]) && last != nil && last.Name == "_"
		}
		if bad {
			places = append(places, strings.TrimPrefix(files.Position(n.Pos()).String(), "-"))
		}
		return true
	})
	return places
}
