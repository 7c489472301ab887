"""dump FILES.. : paragraphs of whole-line comments, numbered; apply MAP: file of 'path#n: text' lines"""
import re,sys
CL=re.compile(r'^([ \t]*)(//[/!]?)( ?)(.*)$')
def units(text):
    lines=text.split('\n'); res=[]; cur=None; fence=False
    for i,l in enumerate(lines):
        m=CL.match(l)
        body=m.group(4).strip() if m else ''
        key=(m.group(1),m.group(2)) if m else None
        if m and body.startswith('```'): fence=not fence; cur=None; continue
        if not m: fence=False
        if not m or not body or fence or body.startswith(('|','#','SAFETY: ```')):
            cur=None; continue
        lst=re.match(r'([-*]|\d+\.)\s',body)
        if cur and cur['key']==key and not lst: cur['end']=i; cur['text']+=' '+body
        else:
            cur={'key':key,'start':i,'end':i,'text':body,'hang':m.group(3)[1:]}
            res.append(cur)
    return lines,res
def wrap(words,w):
    out=[];line=''
    for x in words:
        if line and len(line)+1+len(x)>w: out.append(line); line=x
        else: line=(line+' '+x) if line else x
    out.append(line); return out
if sys.argv[1]=='dump':
    pat=re.compile(sys.argv[2],re.I)
    n=0
    for f in sys.argv[3:]:
        _,us=units(open(f).read()); shown=False
        for k,u in enumerate(us):
            if pat.search(u['text']):
                if not shown: print('=='+f); shown=True
                print(f"{k}: {u['text']}"); n+=1
    print(n,'units',file=sys.stderr)
else:
    import collections
    maps=collections.defaultdict(dict); f=None
    for l in open(sys.argv[2]):
        l=l.rstrip('\n')
        if l.startswith('=='): f=l[2:]
        elif re.match(r'\d+: ',l):
            k,t=l.split(': ',1); assert int(k) not in maps[f],(f,k); maps[f][int(k)]=t
    for f,mp in maps.items():
        lines,us=units(open(f).read())
        for k in sorted(mp,reverse=True):
            u=us[k]; ind,mk=u['key']
            if mp[k]=='-':new=[]
            else: new=[ind+mk+' '+x for x in wrap(mp[k].split(),120-len(ind+mk)-1)]
            lines[u['start']:u['end']+1]=new
        open(f,'w').write('\n'.join(lines))
        print(f,len(mp))
