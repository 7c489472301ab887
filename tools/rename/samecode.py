import re,subprocess,sys
tok=re.compile(r'//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?\'(?:\\.[^\']*|[^\'\\])\'',re.S)
def strip(t): return re.sub(r'\s+',' ',tok.sub(lambda m:'' if m.group().startswith(('//','/*')) else m.group(),t))
bad=0
for f in subprocess.check_output(['git','diff','--name-only',sys.argv[1]],text=True).split():
    old=subprocess.check_output(['git','show',sys.argv[1]+':'+f],text=True); new=open(f).read()
    ok = f.endswith('.rs') and strip(old)==strip(new)
    if not ok: bad+=1; print('CODE DIFFERS',f)
print('bad',bad)
